-- A comment on two lines of a merge request's diff, as GitLab stores it: positions are YAML of a Ruby object. Its author
-- is gone. change_position is NULL, which the model reads as a position of nulls.
INSERT INTO namespaces (id, name, path, type) VALUES (1, 'ada', 'ada', 'User');
INSERT INTO projects (id, name, namespace_id) VALUES (1, 'analytical', 1);
INSERT INTO merge_requests (id, target_branch, source_branch, source_project_id, target_project_id, iid, title, created_at)
VALUES (201, 'main', 'fix', 1, 1, 1, 'Fix it', '2024-03-01 12:00:00');
INSERT INTO notes (
    id, note, noteable_type, noteable_id, author_id, created_at, updated_at, project_id, line_code, commit_id, system,
    st_diff, updated_by_id, type, position, original_position, resolved_at, resolved_by_id, discussion_id,
    change_position, resolved_by_push, confidential, last_edited_at
) VALUES (
    301, E'```suggestion:-1+0\n<new>\n```', 'MergeRequest', 201, 99, '2024-03-02 08:00:00.000999', '2024-03-02 09:00:00',
    1, '0b5cf5ba3fd6d2e8a0f3d0b5a4e2fb3a5ff8a2a9_11_12', NULL, false, NULL, 3, 'DiffNote',
    '--- !ruby/object:Gitlab::Diff::Position
attributes:
  :base_sha: 0fd86738d163471d9eafca1879d2d1758c68c98c
  :start_sha: 0fd86738d163471d9eafca1879d2d1758c68c98c
  :head_sha: 7ad0e8d88ade147b207656005f6e3b1873bd73ce
  :old_path: lib/a&b.rb
  :new_path: lib/a&b.rb
  :position_type: text
  :old_line:
  :new_line: 12
  :line_range: !ruby/hash:ActiveSupport::HashWithIndifferentAccess
    start:
      line_code: 0b5cf5ba3fd6d2e8a0f3d0b5a4e2fb3a5ff8a2a9_11_11
      type: new
      old_line:
      new_line: 11
    end:
      line_code: 0b5cf5ba3fd6d2e8a0f3d0b5a4e2fb3a5ff8a2a9_11_12
      type: new
      old_line:
      new_line: 12
  :ignore_whitespace_change: false
',
    '--- !ruby/object:Gitlab::Diff::Position
attributes:
  :base_sha: 0fd86738d163471d9eafca1879d2d1758c68c98c
  :start_sha: 0fd86738d163471d9eafca1879d2d1758c68c98c
  :head_sha: ''7520000000000000000000000000000000000000''
  :old_path: lib/a&b.rb
  :new_path: lib/a&b.rb
  :position_type: text
  :old_line: 10
  :new_line:
',
    '2024-03-02 08:30:00', 3, '6b3c95e2e3e3b1d6cdecbc54a7a34f4120104048', NULL, false, NULL,
    '2024-03-02 08:45:00.5+00'
);
INSERT INTO award_emoji (id, name, user_id, awardable_type, awardable_id, created_at, updated_at)
VALUES (1, 'thumbsup', 3, 'Note', 301, '2024-03-02 10:00:00', '2024-03-02 10:00:00');
INSERT INTO suggestions (id, note_id, relative_order, applied, commit_id, from_content, to_content, lines_above, lines_below, outdated)
VALUES (1, 301, 0, false, NULL, E'<old>\n', E'<new>\n', 1, 0, false);
INSERT INTO note_diff_files (id, diff_note_id, diff, new_file, renamed_file, deleted_file, a_mode, b_mode, new_path, old_path)
VALUES (1, 301, E'@@ -10,2 +10,3 @@\n-a\n+b & c\n', false, false, false, '100644', '100644', 'lib/a&b.rb', 'lib/a&b.rb');
