-- Fills the database of bench/real.py, which says why it has this shape. The temporary tables `sizes`, `texts`, `patches` and
-- `positions` exist and are full. Ids above 1,000,000 are of these rows, smaller ones of the sample that they extend. Every
-- third row belongs to project 2.

CREATE FUNCTION pg_temp.project(n bigint) RETURNS bigint LANGUAGE sql AS 'SELECT CASE WHEN n % 3 = 0 THEN 2 ELSE 1 END';
CREATE FUNCTION pg_temp.later(at timestamp) RETURNS timestamp LANGUAGE sql AS
    'SELECT at + interval ''40 hours'' * -ln(1 - random())';
-- `per` makes PostgreSQL call it again for each row.
CREATE FUNCTION pg_temp.several(mean float, per bigint) RETURNS int LANGUAGE sql AS
    'SELECT floor(-ln(1 - random()) * mean + 0.5 + 0 * per)::int';
CREATE FUNCTION pg_temp.sha(n bigint) RETURNS bytea LANGUAGE sql AS 'SELECT substr(sha256(n::text::bytea), 1, 20)';

CREATE TEMP TABLE base AS SELECT
    (SELECT namespace_id FROM projects WHERE id = 1) AS space,
    (SELECT array_agg(id) FROM users) AS users,
    (SELECT array_agg(id) FROM labels WHERE project_id = 1) AS labels,
    (SELECT array_agg(id) FROM milestones WHERE project_id = 1) AS milestones,
    (SELECT min(work_item_type_id) FROM issues WHERE project_id = 1) AS type;

INSERT INTO issues (id, iid, title, author_id, project_id, namespace_id, created_at, updated_at, description,
    milestone_id, relative_position, closed_at, state_id, work_item_type_id, title_html, lock_version)
SELECT 1000000 + i, 1000000 + i, left(replace(x.text, E'\n', ' '), 70), users[1 + i % cardinality(users)], pg_temp.project(i),
    space, at, pg_temp.later(at), y.text || E'\n\n' || x.text, CASE WHEN i % 2 = 0 THEN milestones[1] END,
    CASE WHEN random() < 0.02 THEN NULL WHEN random() < 0.05 THEN (random() * 513 * i)::int ELSE 513 * i END,
    CASE WHEN i % 10 < 8 THEN pg_temp.later(at) END, CASE WHEN i % 10 < 8 THEN 2 ELSE 1 END, type,
    '<p>' || x.text || '</p>', 1
FROM base, generate_series(1, (SELECT issues * 3 / 2 FROM sizes)) AS i
CROSS JOIN LATERAL (SELECT timestamp '2021-01-01' + interval '20 minutes' * i AS at) AS made
JOIN texts AS x ON x.n = i % 2000 JOIN texts AS y ON y.n = (i::bigint * 7 + 5) % 2000 ORDER BY i;

INSERT INTO issue_assignees (issue_id, user_id, namespace_id)
SELECT id, author_id, space FROM issues, base WHERE id > 1000000 AND id % 10 < 6 ORDER BY id;

INSERT INTO merge_requests (id, iid, target_branch, source_branch, source_project_id, author_id, title, created_at, updated_at,
    milestone_id, merge_status, target_project_id, description, merge_params, merge_user_id, merge_commit_sha, state_id,
    title_html, latest_merge_request_diff_id)
SELECT 1000000 + i, 1000000 + i, 'main', 'feature-' || i, pg_temp.project(i), users[1 + i % cardinality(users)],
    left(replace(x.text, E'\n', ' '), 70), at, pg_temp.later(at), CASE WHEN i % 2 = 0 THEN milestones[1] END, 'can_be_merged',
    pg_temp.project(i), x.text,
    E'--- !ruby/hash:ActiveSupport::HashWithIndifferentAccess\nforce_remove_source_branch: \'1\'\n',
    CASE WHEN i % 10 < 8 THEN users[1] END, encode(pg_temp.sha(i), 'hex'),
    CASE WHEN i % 10 < 8 THEN 3 WHEN i % 10 = 8 THEN 2 ELSE 1 END, '<p>' || x.text || '</p>', 1000000 + 10 * i + i % 3
FROM base, generate_series(1, (SELECT merge_requests * 3 / 2 FROM sizes)) AS i
CROSS JOIN LATERAL (SELECT timestamp '2021-01-01' + interval '30 minutes' * i AS at) AS made
JOIN texts AS x ON x.n = i % 2000 ORDER BY i;

CREATE TEMP TABLE parents AS
SELECT 'Issue' AS kind, id, project_id AS project, author_id, created_at AS at, state_id, id AS issue, NULL::bigint AS request
FROM issues WHERE id > 1000000
UNION ALL
SELECT 'MergeRequest', id, target_project_id, author_id, created_at, state_id, NULL, id
FROM merge_requests WHERE id > 1000000
ORDER BY at;

-- Notes: five for an issue on average, seven for a merge request, ten times as many for one in a hundred.
CREATE TEMP TABLE planned AS
SELECT *, row_number() OVER (ORDER BY at) AS place FROM (
    SELECT kind, id, project, pg_temp.later(at) AS at, random() AS what, random() AS pick
    FROM parents, generate_series(1, pg_temp.several(
        (CASE kind WHEN 'Issue' THEN 5 ELSE 7 END) * CASE WHEN id % 100 = 0 THEN 10 ELSE 1 END, id)) AS number
) AS timed;

INSERT INTO notes (id, note, noteable_type, noteable_id, author_id, created_at, updated_at, project_id, namespace_id, system,
    type, discussion_id, position, original_position, change_position, line_code, resolved_at, resolved_by_id, note_html,
    last_edited_at)
SELECT 1000000 + place, CASE WHEN what < 0.45 THEN 'changed the description' ELSE x.text END, kind, id,
    users[1 + place % cardinality(users)], at, at, project, space, what < 0.45,
    CASE WHEN p.n IS NOT NULL THEN 'DiffNote' WHEN what > 0.8 THEN 'DiscussionNote' END, encode(pg_temp.sha(place), 'hex'),
    p.position, CASE WHEN p.n % 5 < 2 THEN o.position ELSE p.position END, CASE WHEN p.n % 20 = 0 THEN p.position END,
    CASE WHEN p.n IS NOT NULL THEN encode(pg_temp.sha(place), 'hex') || '_0_' || p.n END,
    CASE WHEN p.n % 2 = 0 THEN at END, CASE WHEN p.n % 2 = 0 THEN users[1] END, '<p>' || x.text || '</p>',
    CASE WHEN what > 0.97 THEN at END
FROM base, planned JOIN texts AS x ON x.n = (pick * 1999)::int
LEFT JOIN positions AS p ON kind = 'MergeRequest' AND what > 0.7 AND p.n = (pick * 2999)::int
LEFT JOIN positions AS o ON o.n = p.n / 2 ORDER BY place;

INSERT INTO system_note_metadata (note_id, action, created_at, updated_at, namespace_id)
SELECT id, 'description', created_at, created_at, namespace_id FROM notes WHERE system AND id > 1000000 ORDER BY id;

INSERT INTO note_diff_files (diff_note_id, diff, new_file, renamed_file, deleted_file, a_mode, b_mode, new_path, old_path,
    namespace_id)
SELECT t.id, left(p.diff, 2000), false, false, false, '100644', '100644', p.path, p.path, namespace_id
FROM notes AS t JOIN patches AS p ON p.n = t.id % 2000 WHERE t.type = 'DiffNote' AND t.id > 1000000 ORDER BY t.id;

INSERT INTO suggestions (note_id, relative_order, from_content, to_content, namespace_id)
SELECT t.id, 0, left(x.text, 80), left(x.text, 90), namespace_id FROM notes AS t JOIN texts AS x ON x.n = t.id % 2000
WHERE t.type = 'DiffNote' AND t.id > 1000000 AND t.id % 8 = 0 ORDER BY t.id;

INSERT INTO award_emoji (name, user_id, awardable_type, awardable_id, created_at, updated_at)
SELECT 'thumbsup', author_id, 'Note', id, created_at, created_at FROM notes
WHERE NOT system AND id > 1000000 AND id % 12 = 0 ORDER BY id;
INSERT INTO award_emoji (name, user_id, awardable_type, awardable_id, created_at, updated_at)
SELECT 'thumbsup', author_id, kind, id, at, at FROM parents WHERE random() < 0.3;

INSERT INTO events (project_id, author_id, created_at, updated_at, action, target_type, target_id)
SELECT * FROM (
    SELECT project_id, author_id, created_at, created_at, 6, 'Note', id FROM notes WHERE NOT system AND id > 1000000
    UNION ALL
    SELECT project, author_id, at, at, action, kind, id FROM parents, (VALUES (1), (3)) AS done (action)
    WHERE action = 1 OR state_id > 1
) AS happened (project, author, at, again, action, kind, id) ORDER BY at;

INSERT INTO label_links (label_id, target_id, target_type, created_at, updated_at, namespace_id)
SELECT label, id, kind, at, at, space FROM base, parents, unnest(labels) AS label WHERE random() < 2.5 / cardinality(labels);

INSERT INTO resource_label_events (action, issue_id, merge_request_id, label_id, user_id, created_at, namespace_id)
SELECT 1 + (number % 4 = 0)::int, issue, request, labels[1 + number % cardinality(labels)], author_id, at, space
FROM base, parents, generate_series(1, pg_temp.several(3, id)) AS number;

INSERT INTO resource_milestone_events (action, state, issue_id, merge_request_id, milestone_id, user_id, created_at,
    namespace_id)
SELECT 1, 1, issue, request, milestones[1], author_id, at, space FROM base, parents WHERE random() < 0.5;

INSERT INTO resource_state_events (state, issue_id, merge_request_id, user_id, created_at, namespace_id)
SELECT state_id, issue, request, author_id, at, space FROM base, parents WHERE state_id > 1;

INSERT INTO timelogs (time_spent, issue_id, merge_request_id, user_id, created_at, updated_at, project_id, namespace_id)
SELECT 3600, issue, request, author_id, at, at, project, space FROM base, parents WHERE random() < 0.05;

INSERT INTO merge_request_metrics (merge_request_id, merged_at, created_at, updated_at, merged_by_id, diff_size, commits_count,
    added_lines, removed_lines, target_project_id)
SELECT id, updated_at, created_at, updated_at, merge_user_id, 100, 3, 80, 20, target_project_id
FROM merge_requests WHERE id > 1000000 ORDER BY id;

INSERT INTO approvals (merge_request_id, user_id, created_at, updated_at, project_id)
SELECT request, author_id, at, at, project FROM parents WHERE request % 10 < 8 ORDER BY 1;
INSERT INTO merge_request_assignees (merge_request_id, user_id, created_at, project_id)
SELECT request, author_id, at, project FROM parents WHERE request % 10 < 9 ORDER BY 1;
INSERT INTO merge_request_reviewers (merge_request_id, user_id, created_at, project_id)
SELECT request, author_id, at, project FROM parents WHERE request % 10 < 7 ORDER BY 1;

-- A merge request has up to three versions of its diff, of which the last is exported, with up to five commits.
INSERT INTO merge_request_diffs (id, state, merge_request_id, created_at, updated_at, base_commit_sha, real_size,
    head_commit_sha, start_commit_sha, commits_count, stored_externally, files_count, sorted, diff_type, project_id)
SELECT 1000000 + 10 * (id - 1000000) + version, 'collected', id, created_at, created_at, merge_commit_sha, '6',
    merge_commit_sha, merge_commit_sha, 3, false, 6, true, 1, target_project_id
FROM merge_requests, generate_series(0, (id - 1000000)::int % 3) AS version WHERE id > 1000000 ORDER BY 1;

INSERT INTO merge_request_diff_commit_users (id, name, email, organization_id)
SELECT 1000000 + id, username, username || '@example.com', 1 FROM users ORDER BY id;

INSERT INTO merge_request_commits_metadata (id, project_id, authored_date, committed_date, commit_author_id, committer_id, sha,
    message)
SELECT 1000000 + 10 * (t.id - 1000000) + place, target_project_id, created_at, created_at, 1000000 + author_id,
    1000000 + author_id, pg_temp.sha(t.id * 10 + place), left(x.text, 400)
FROM merge_requests AS t CROSS JOIN generate_series(0, (t.id * 7)::int % 5) AS place JOIN texts AS x ON x.n = (t.id + place) % 2000
WHERE t.id > 1000000 ORDER BY 1;

INSERT INTO merge_request_diff_commits (merge_request_diff_id, relative_order, merge_request_commits_metadata_id, project_id)
SELECT d.id, m.id % 10, m.id, d.project_id FROM merge_request_diffs AS d
JOIN merge_request_commits_metadata AS m
    ON m.project_id = d.project_id AND (m.id - 1000000) / 10 = d.merge_request_id - 1000000 AND m.id > 1000000
WHERE d.id > 1000000 ORDER BY d.id, m.id;

INSERT INTO merge_request_diff_files (merge_request_diff_id, relative_order, new_file, renamed_file, deleted_file, too_large,
    a_mode, b_mode, new_path, old_path, diff, "binary", project_id)
SELECT t.id, place - 1, false, false, false, false, '100644', '100644', p.path, p.path, p.diff, false, project_id
FROM merge_request_diffs AS t CROSS JOIN generate_series(1, least(100, 1 + pg_temp.several(5, t.id))) AS place
JOIN patches AS p ON p.n = (t.id * 31 + place) % 2000 WHERE t.id > 1000000 ORDER BY t.id, place;

INSERT INTO p_ci_pipelines (id, iid, partition_id, ref, sha, before_sha, created_at, updated_at, project_id, status, started_at,
    finished_at, duration, user_id, source, config_source, protected, merge_request_id)
SELECT 1000000 + i, 1000000 + i, 100 + i % 2, 'feature-' || i, encode(pg_temp.sha(i), 'hex'), encode(pg_temp.sha(i + 1), 'hex'),
    at, at, pg_temp.project(i), CASE WHEN i % 5 = 0 THEN 'failed' ELSE 'success' END, at, at, 600,
    users[1 + i % cardinality(users)], CASE WHEN m.id IS NULL THEN 1 ELSE 10 END, 1, false, m.id
FROM base CROSS JOIN generate_series(1, (SELECT pipelines * 3 / 2 FROM sizes)) AS i
CROSS JOIN LATERAL (SELECT timestamp '2021-01-01' + interval '15 minutes' * i AS at) AS made
LEFT JOIN merge_requests AS m ON m.id = 1000000 + i - i % 4 / 2 AND m.target_project_id = pg_temp.project(i) ORDER BY i;

INSERT INTO p_ci_stages (id, partition_id, pipeline_id, project_id, created_at, updated_at, name, status, position)
SELECT 1000000 + 10 * (id - 1000000) + place, partition_id, id, project_id, created_at, updated_at,
    (ARRAY['build', 'test', 'review', 'deploy'])[place], 3, place - 1
FROM p_ci_pipelines CROSS JOIN generate_series(1, 2 + (id % 3)::int) AS place WHERE id > 1000000 ORDER BY 1;

INSERT INTO p_ci_builds (id, partition_id, stage_id, commit_id, project_id, user_id, type, name, status, created_at, updated_at,
    started_at, finished_at, queued_at, stage_idx, ref, tag, "when", protected, scheduling_type, failure_reason, processed,
    coverage)
SELECT 1000000 + row_number() OVER (ORDER BY t.id, place), t.partition_id, t.id, t.pipeline_id, t.project_id, p.user_id,
    CASE WHEN place = 9 THEN 'Ci::Bridge' WHEN t.id % 50 = 0 THEN 'GenericCommitStatus' ELSE 'Ci::Build' END,
    t.name || ' ' || place, CASE WHEN place % 5 = 0 THEN 'failed' ELSE 'success' END, t.created_at, t.created_at, t.created_at,
    t.created_at, t.created_at, t.position, p.ref, false, 'on_success', false, 0, CASE WHEN place % 5 = 0 THEN 1 END, true,
    CASE WHEN place % 4 = 0 THEN 91.5 END
FROM p_ci_stages AS t JOIN p_ci_pipelines AS p ON p.id = t.pipeline_id AND p.partition_id = t.partition_id
CROSS JOIN generate_series(1, least(40, 1 + pg_temp.several(2, t.id))) AS place WHERE t.id > 1000000 ORDER BY t.id, place;
