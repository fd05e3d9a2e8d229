-- An incident of which most is unusual: no lock_version, never edited, a label without a colour, a system note that was
-- never edited, an event that is stored with the work item and not with the issue.
INSERT INTO users (id, name, username, projects_limit, organization_id) VALUES (3, 'Ada <Lovelace> & Co', 'ada', 10, 1);
INSERT INTO namespaces (id, name, path, type) VALUES (1, 'ada', 'ada', 'User');
INSERT INTO projects (id, name, namespace_id) VALUES (1, 'analytical', 1);
INSERT INTO labels (id, title, color, project_id, created_at, updated_at, template, description, type, group_id)
VALUES (11, 'bug & co', NULL, 1, '2024-02-01 10:00:00.999999', '2024-02-01 10:00:01', false, NULL, 'ProjectLabel', NULL);
INSERT INTO label_priorities (id, project_id, label_id, priority, created_at, updated_at)
VALUES (1, 1, 11, 2, '2024-02-01 11:00:00', '2024-02-01 11:00:00.5');
INSERT INTO issues (
    id, title, author_id, project_id, created_at, updated_at, description, iid, updated_by_id, weight, confidential,
    due_date, lock_version, time_estimate, relative_position, last_edited_at, last_edited_by_id, discussion_locked,
    closed_at, closed_by_id, health_status, state_id, work_item_type_id, milestone_id
) VALUES (
    101, 'Break <b>&</b> fix', 3, 1, '2024-03-01 12:34:56.789012', '2024-03-02 00:00:00',
    E'First line\n\tsecond \\ "quoted" é \u2028 end', 7, NULL, 5, true, '2024-04-01', NULL, NULL, -513, NULL, NULL, NULL,
    '2024-03-03 01:02:03.004567+00', 3, 2, 2, 2, NULL
);
INSERT INTO events (id, project_id, author_id, created_at, updated_at, action, target_type, target_id, fingerprint)
VALUES
    (21, 1, 3, '2024-03-01 12:34:57+00', '2024-03-01 14:34:57+02', 1, 'Issue', 101, '\x00ff'),
    (22, 1, 3, '2024-03-01 12:34:58+00', '2024-03-01 12:34:58+00', 1, 'WorkItem', 101, NULL);
INSERT INTO notes (
    id, note, noteable_type, noteable_id, author_id, created_at, updated_at, project_id, system, type, discussion_id,
    last_edited_at
) VALUES (
    31, 'changed the due date', 'Issue', 101, 3, '2024-03-01 13:00:00.1', '2024-03-01 13:00:00.25', 1, true, NULL,
    '8973440047722e1b8b7d497d176dddba6991542b', NULL
);
INSERT INTO system_note_metadata (id, note_id, commit_count, action, created_at, updated_at)
VALUES (41, 31, NULL, 'due_date', '2024-03-01 13:00:00.3', '2024-03-01 13:00:00.3');
INSERT INTO label_links (id, label_id, target_id, target_type, created_at, updated_at)
VALUES (51, 11, 101, 'Issue', '2024-03-01 13:30:00', NULL);
INSERT INTO issue_assignees (user_id, issue_id) VALUES (4, 101), (3, 101);
INSERT INTO resource_state_events (id, issue_id, user_id, created_at, state, namespace_id)
VALUES (61, 101, 3, '2024-03-03 01:02:03.5+00', 2, 1);
