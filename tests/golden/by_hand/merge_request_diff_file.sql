-- A file whose diff is not UTF-8 as Git has it, so that it is stored in base64 and called binary. Its path did not change:
-- since 18.4 GitLab stores the new one as NULL then.
INSERT INTO namespaces (id, name, path, type) VALUES (1, 'ada', 'ada', 'User');
INSERT INTO projects (id, name, namespace_id) VALUES (1, 'analytical', 1);
INSERT INTO merge_requests (id, target_branch, source_branch, source_project_id, target_project_id, iid, title, created_at)
VALUES (201, 'main', 'fix', 1, 1, 1, 'Fix it', '2024-03-01 12:00:00');
INSERT INTO merge_request_diffs (id, state, merge_request_id, created_at, updated_at, head_commit_sha, files_count, diff_type)
VALUES (401, 'collected', 201, '2024-03-01 12:00:01', '2024-03-01 12:00:02', 'ee460b644cf2cc3e5c6f3d28f4cd24a4cbcbbc95', 1, 1);
INSERT INTO merge_request_diff_files (
    merge_request_diff_id, relative_order, new_file, renamed_file, deleted_file, too_large, a_mode, b_mode, new_path,
    old_path, diff, "binary", external_diff_offset, external_diff_size, generated, encoded_file_path, project_id
) VALUES (
    401, 0, false, false, false, false, '100644', '100755', NULL, 'docs/a & b.md', 'PMOpPiYK', true, NULL, NULL, true,
    false, 1
);
