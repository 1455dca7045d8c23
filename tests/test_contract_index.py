"""The reliability contract, and which tests prove each of its items.

An item has its tests, or the reason why it does not apply yet. A test is written
`path::function`, and has to exist; which cases it has, its own table tells.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

KILL = "e2e/test_kill.py"
RELIABILITY = "e2e/test_reliability.py"
TRUNCATION = "e2e/test_truncation.py"
HONESTY_GET = "e2e/test_honesty_get.py"
HONESTY_DUMP = "e2e/test_honesty_dump.py"
INTERRUPTS = "e2e/test_interrupts.py"
HTTP1 = "transports/test_contract.py"
HTTP2 = "transports/test_contract_h2.py"
REDIRECTS = "transports/test_redirects.py"
CREDENTIALS = "transports/test_credentials.py"
TLS = "transports/test_tls.py"
ATTACKS = "storage/test_attacks.py"
MULTIPART = "protocol/test_multipart.py"
HOSTILE = "protocol/test_multipart_hostile.py"
FIELDS = "protocol/test_http_fields.py"
DIMSE_GET = "jobs/test_dimse_get.py"
READER = "protocol/upper_layer/test_reader.py"
DIMSE_FAULTS = "e2e/test_dimse_faults.py"
NATIVE_FAULTS = "transports/associations/test_native_faults.py"
ACCEPTOR = "transports/associations/test_acceptor.py"
ACCEPTOR_TLS = "transports/associations/test_acceptor_tls_clients.py"
RECEIVER = "receiver/test_receiver.py"
RECEIVER_SERVICES = "receiver/test_services.py"
RECEIVER_KEEPING = "receiver/test_keeping.py"
RECEIVER_STORING = "receiver/test_storing.py"
RECEIVE_FAULTS = "e2e/test_receive_faults.py"
RECEIVER_KILL = "receiver/test_kill.py"
OBJECT_KILL = "e2e/test_object_kill.py"
OBJECT_FAULTS = "e2e/test_object_faults.py"
OBJECT_PARTS = "e2e/test_object_faults_parts.py"
OBJECT_RELIABILITY = "e2e/test_object_reliability.py"
OBJECTS_RCLONE = "e2e/test_objects_rclone.py"
S3_LISTING = "protocol/object_stores/test_s3_listing.py"
REAL_SENDERS = "receiver/test_real_senders.py"

PROVEN: dict[str, tuple[str, ...]] = {
    # A. Crash and durability
    "A1": (
        f"{KILL}::test_what_was_said_to_be_stored_outlives_kill_9",
        f"{KILL}::test_the_next_run_after_kill_9_completes",
        f"{KILL}::test_kill_9_costs_only_what_was_in_flight",
        f"{KILL}::test_what_is_partly_there_is_never_asked_for_whole",
        f"{KILL}::test_the_kills_came_in_the_middle",
        f"{OBJECT_KILL}::test_what_was_said_to_be_stored_outlives_kill_9",
        f"{OBJECT_KILL}::test_the_next_run_after_kill_9_completes",
        f"{OBJECT_KILL}::test_kill_9_costs_only_what_was_in_flight",
        f"{OBJECT_KILL}::test_the_kills_came_in_the_middle",
    ),
    "A2": (
        "storage/test_faults.py::test_kill_9_between_any_two_calls_tears_nothing",
        "storage/test_committing.py::test_no_name_appears_before_its_round_is_synced",
        "storage/test_atomic.py::test_content_is_synced_before_its_name_appears",
        "storage/test_directories.py::test_names_of_new_folders_are_synced_up_to_the_root",
    ),
    "A3": (
        f"{INTERRUPTS}::test_a_signal_ends_a_run_in_time_and_with_the_sentence",
        f"{INTERRUPTS}::test_everything_is_named_in_the_report_and_nothing_is_torn",
        f"{INTERRUPTS}::test_a_stopped_run_is_completed_from_its_report",
        f"{OBJECT_RELIABILITY}::test_a_signal_ends_a_run_in_order_and_its_report_completes_it",
    ),
    "A4": (
        "storage/test_faults.py::test_any_call_may_fail_once",
        "storage/test_zip.py::test_any_call_may_fail_once",
        f"{ATTACKS}::test_descriptors_run_out_without_harm",
        f"{HTTP1}::test_refused_is_unreachable",
        "transports/test_bad_network.py::test_a_body_is_whole_or_an_error",
    ),
    "A5": (
        f"{KILL}::test_a_full_disk_ends_the_run_and_the_next_one_completes",
        f"{ATTACKS}::test_a_full_disk_keeps_nothing_torn_and_recovers",
        f"{ATTACKS}::test_inodes_run_out_as_room_does",
        f"{ATTACKS}::test_a_file_size_limit_is_room_too",
        f"{OBJECT_KILL}::test_a_disk_that_fills_ends_the_run_and_the_next_one_completes",
        f"{OBJECT_KILL}::test_what_is_known_not_to_fit_is_not_begun",
    ),
    "A7": (
        f"{OBJECTS_RCLONE}::test_each_of_a_thousand_flipped_bits_is_found",
        f"{OBJECT_FAULTS}::test_a_flipped_bit_in_a_file_is_found_and_mended",
        "jobs/test_verify.py::test_each_flipped_bit_is_found_by_the_catalog",
    ),
    "A8": (
        f"{KILL}::test_two_runs_into_one_folder_share_it",
        f"{OBJECT_RELIABILITY}::test_two_runs_into_one_folder_share_it",
    ),
    # B. Hostile HTTP/1.1 and multipart
    "B1": (
        f"{HTTP1}::test_broken_framing_is_an_error",
        f"{HTTP1}::test_surplus_bytes_are_never_part_of_the_body",
        f"{HTTP1}::test_transfer_encoding_overrides_content_length",
        f"{FIELDS}::test_a_doubtful_content_length_is_refused",
        f"{HONESTY_GET}::test_every_engine_catches_every_fault",
        f"{OBJECT_FAULTS}::test_a_short_object_is_never_taken_for_whole",
        f"{OBJECT_FAULTS}::test_what_is_damaged_is_named_with_a_reason",
    ),
    "B2": (
        f"{TRUNCATION}::test_get_keeps_what_is_proven_and_misses_the_rest",
        f"{TRUNCATION}::test_get_believes_no_cut_instance_that_comes_alone",
        f"{TRUNCATION}::test_dump_leaves_no_file_of_a_cut_answer",
        f"{TRUNCATION}::test_what_shows_no_end_is_not_dumped",
        f"{TRUNCATION}::test_find_believes_no_cut_list",
        f"{TRUNCATION}::test_over_sockets_nothing_is_believed_either",
        f"{MULTIPART}::test_truncation_at_every_offset_is_detected",
        f"{S3_LISTING}::test_a_list_that_is_cut_is_never_a_list",
        f"{OBJECT_FAULTS}::test_a_list_that_is_wrong_is_named",
    ),
    "B3": (
        f"{HOSTILE}::test_a_long_epilogue_takes_no_memory",
        f"{HOSTILE}::test_a_long_preamble_takes_no_memory",
        f"{TRUNCATION}::test_a_cut_is_noticed_up_to_the_close_delimiter",
    ),
    "B4": (
        f"{MULTIPART}::test_any_boundary_delimits",
        f"{MULTIPART}::test_no_part_ends_at_a_doubtful_delimiter",
        f"{HOSTILE}::test_parser_and_reference_agree",
        f"{HOSTILE}::test_any_body_cut_anywhere_comes_back",
        f"{HONESTY_GET}::test_what_is_damaged_is_named_with_a_reason",
    ),
    "B5": (
        f"{HOSTILE}::test_an_endless_header_stops_at_its_limit",
        f"{HOSTILE}::test_a_million_part_headers_stop_at_64",
        f"{RELIABILITY}::test_no_answer_takes_the_memory",
        f"{OBJECT_RELIABILITY}::test_no_answer_takes_the_memory",
    ),
    "B6": (
        f"{HOSTILE}::test_many_tiny_parts_take_no_memory",
        f"{MULTIPART}::test_limits_do_not_depend_on_the_cut",
    ),
    "B7": (
        f"{HTTP1}::test_endless_heads_are_refused",
        f"{HTTP1}::test_a_head_beyond_the_limit_is_refused",
    ),
    "B8": (
        f"{RELIABILITY}::test_no_answer_takes_the_memory",
        "protocol/test_content_coding.py::test_a_bomb_is_refused_before_it_fills_the_memory",
        "protocol/test_content_coding.py::test_a_coding_that_was_not_offered_is_refused",
        f"{OBJECT_RELIABILITY}::test_no_answer_takes_the_memory",
    ),
    "B9": (
        f"{RELIABILITY}::test_patience_ends_with_the_timeout",
        f"{HTTP1}::test_a_trickle_is_a_stall",
        f"{HTTP1}::test_silence_in_the_body_is_a_stall",
    ),
    "B10": (
        f"{RELIABILITY}::test_every_kth_answer_may_break",
        f"{OBJECT_RELIABILITY}::test_every_kth_answer_may_break",
    ),
    "B11": (
        f"{RELIABILITY}::test_no_worker_asks_before_the_pause_is_over",
        f"{RELIABILITY}::test_a_worker_in_the_middle_of_a_search_waits_too",
        f"{RELIABILITY}::test_a_pause_of_a_year_is_kept_and_can_be_interrupted",
        f"{RELIABILITY}::test_a_pause_that_is_none_stops_nobody",
        "policy/test_retry.py::test_a_requested_pause_is_kept_within_bounds",
        f"{OBJECT_RELIABILITY}::test_no_worker_asks_before_the_pause_is_over",
        f"{OBJECT_FAULTS}::test_slow_down_is_obeyed",
    ),
    "B12": (
        f"{RELIABILITY}::test_no_secret_follows_a_redirect_to_another_port",
        f"{RELIABILITY}::test_no_secret_follows_a_redirect_to_another_host",
        f"{RELIABILITY}::test_https_is_never_left_for_http",
        f"{REDIRECTS}::test_five_redirects_are_followed_and_not_one_more",
        f"{REDIRECTS}::test_hopeless_redirects_are_refused",
    ),
    "B13": (
        f"{TLS}::test_an_expired_certificate_is_refused",
        f"{TLS}::test_an_unknown_authority_is_refused_and_the_way_out_told",
        f"{TLS}::test_another_host_name_is_refused",
        f"{TLS}::test_a_client_certificate_is_shown",
        "transports/test_proxies.py::test_no_engine_reads_the_environment_behind_our_back",
    ),
    "B14": (
        f"{HONESTY_GET}::test_what_is_damaged_is_named_with_a_reason",
        f"{HONESTY_GET}::test_every_engine_catches_every_fault",
        f"{HONESTY_DUMP}::test_what_is_damaged_is_named_and_has_no_file",
        f"{OBJECT_FAULTS}::test_what_is_damaged_is_named_with_a_reason",
        f"{OBJECT_PARTS}::test_what_is_damaged_is_named_and_nothing_is_torn",
    ),
    "B15": (
        f"{RELIABILITY}::test_a_token_that_expires_is_renewed_once",
        f"{RELIABILITY}::test_a_token_that_stays_refused_is_no_storm",
        f"{RELIABILITY}::test_netrc_is_read_only_when_asked_for",
        f"{CREDENTIALS}::test_a_failed_renewal_is_not_repeated_by_every_worker",
        "transports/test_aws_credentials.py::test_credentials_are_renewed_once_for_all_that_were_refused",
    ),
    "B16": (
        f"{OBJECT_PARTS}::test_an_object_that_is_replaced_while_it_comes_is_never_mixed",
        f"{OBJECT_PARTS}::test_what_is_damaged_is_named_and_nothing_is_torn",
        f"{OBJECT_PARTS}::test_parts_cover_the_object_once",
        f"{OBJECT_FAULTS}::test_an_object_that_was_replaced_is_stored_as_it_is_now",
    ),
    # C. Hostile HTTP/2
    "C1": (
        f"{HTTP2}::test_an_early_end_is_never_taken_for_the_end",
        f"{HTTP2}::test_goaway_lets_the_stream_at_hand_end",
        f"{HTTP2}::test_a_reset_without_error_is_the_end_only_where_no_length_was_given",
        f"{TRUNCATION}::test_over_sockets_nothing_is_believed_either",
    ),
    "C2": (f"{HTTP2}::test_broken_framing_is_an_error",),
    "C3": (f"{HTTP2}::test_a_flood_without_payload_ends",),
    "C4": (
        f"{HTTP2}::test_a_body_waits_for_a_window_that_never_opens",
        f"{HTTP2}::test_no_streams_allowed_is_an_error",
        f"{HTTP2}::test_broken_framing_is_an_error",
    ),
    "C5": (
        f"{RELIABILITY}::test_refused_streams_bring_no_storm",
        f"{HTTP2}::test_refused_streams_do_not_stop_the_others",
        f"{RELIABILITY}::test_every_kth_answer_may_break",
    ),
    "C6": (
        f"{RELIABILITY}::test_no_connection_sees_more_than_100_streams_cancelled",
        "policy/test_cancellations.py::test_a_burst_uses_the_connection_up",
    ),
    # D. Hostile DICOM and DIMSE
    "D1": (
        f"{DIMSE_GET}::test_no_uid_of_a_command_leaves_the_folder",
        f"{DIMSE_FAULTS}::test_a_hostile_uid_leaves_nothing_outside_of_the_folder",
        f"{DIMSE_FAULTS}::test_five_thousand_hostile_uids_leave_nothing_anywhere",
    ),
    "D2": (
        f"{DIMSE_GET}::test_what_is_damaged_is_refused_and_asked_for_again",
        f"{DIMSE_FAULTS}::test_what_is_damaged_is_named_with_a_reason",
    ),
    "D3": (
        f"{DIMSE_FAULTS}::test_whatever_is_not_damaged_is_stored_whole",
        "protocol/test_part10.py::test_a_cut_at_any_byte_is_noticed",
        "protocol/test_part10_dataset.py::test_nesting_up_to_the_limit_passes_and_beyond_is_refused",
        "protocol/test_part10_deflate.py::test_a_bomb_is_refused_early_and_at_the_same_place",
    ),
    "D4": (
        f"{NATIVE_FAULTS}::test_an_end_at_any_byte_of_a_message_stores_nothing",
        f"{NATIVE_FAULTS}::test_silence_at_any_byte_of_a_message_is_a_stall_and_stores_nothing",
        f"{DIMSE_GET}::test_a_broken_association_costs_only_what_had_not_come",
        f"{DIMSE_FAULTS}::test_an_operation_that_fails_once_is_tried_again_where_that_helps",
    ),
    "D5": (
        f"{NATIVE_FAULTS}::test_what_breaks_the_standard_is_answered_with_an_abort",
        f"{READER}::test_a_pdu_of_4_gib_takes_no_memory",
        f"{READER}::test_hostile_bytes_are_refused_at_the_same_byte_however_cut",
    ),
    "D6": (
        f"{NATIVE_FAULTS}::test_a_refused_association_tells_why_and_whether_to_come_again",
        f"{DIMSE_GET}::test_a_transient_rejection_is_waited_out",
        f"{DIMSE_GET}::test_a_permanent_rejection_is_not_tried_again",
        "sources/test_dimse.py::test_a_peer_that_is_busy_gets_no_more_than_it_takes",
        "cli/test_dimse_commands.py::test_who_is_refused_before_any_work_reads_what_to_do",
        f"{DIMSE_FAULTS}::test_a_permanent_rejection_is_not_tried_again",
    ),
    "D7": (
        f"{DIMSE_GET}::test_counters_that_lie_are_not_believed",
        f"{DIMSE_GET}::test_what_never_comes_is_named_whatever_the_counters_say",
        "jobs/test_dimse_move.py::test_counters_of_a_move_that_lie_are_not_believed",
        f"{DIMSE_FAULTS}::test_counters_that_lie_do_not_make_a_study_complete",
    ),
    "D8": (
        f"{NATIVE_FAULTS}::test_an_answer_that_comes_twice_is_refused",
        f"{NATIVE_FAULTS}::test_fragments_of_any_size_make_the_same_message",
        f"{NATIVE_FAULTS}::test_a_flood_of_pending_answers_costs_no_memory",
        "protocol/dimse/test_assembler.py::test_what_does_not_belong_is_refused_by_name",
    ),
    # F. Attacks on the file system
    # E. The Storage SCP
    "E1": (
        f"{RECEIVE_FAULTS}::test_a_thousand_silent_connections_hold_nobody_up",
        f"{ACCEPTOR}::test_hundreds_of_silent_connections_do_not_keep_others_waiting",
        f"{ACCEPTOR}::test_silence_before_the_request_ends_with_artim",
        f"{ACCEPTOR}::test_silence_within_the_request_ends_with_artim",
        f"{ACCEPTOR}::test_a_request_that_trickles_ends_with_artim",
    ),
    "E2": (
        f"{RECEIVE_FAULTS}::test_one_association_too_many_is_refused_at_once",
        f"{RECEIVER_SERVICES}::test_one_association_too_many_is_told_to_come_again_at_once",
        f"{RECEIVER_SERVICES}::test_one_peer_does_not_take_the_places_of_all",
        f"{RECEIVER_SERVICES}::test_places_are_given_back_however_associations_end",
    ),
    "E3": (
        f"{RECEIVE_FAULTS}::test_a_flood_of_associations_leaves_nothing_behind",
        f"{RECEIVE_FAULTS}::test_a_flood_of_connections_and_garbage_stops_nobody",
    ),
    "E4": (
        f"{REAL_SENDERS}::test_a_disk_that_is_full_refuses_and_recovers_without_a_restart",
        f"{RECEIVER_STORING}::test_a_disk_that_is_full_is_told_and_recovered_from",
        f"{RECEIVER_STORING}::test_below_the_low_water_mark_nothing_is_taken",
        f"{RECEIVER_STORING}::test_a_sync_that_fails_is_no_success",
    ),
    "E5": (
        f"{RECEIVE_FAULTS}::test_whatever_a_peer_does_the_older_file_and_the_others_live",
        f"{RECEIVER_KILL}::test_what_was_answered_outlives_kill_9",
        f"{RECEIVER}::test_what_is_stored_is_in_place_when_it_is_answered",
        f"{RECEIVER_STORING}::test_a_data_set_that_breaks_off_leaves_the_older_file",
    ),
    "E6": (
        f"{RECEIVER_KEEPING}::test_one_uid_over_many_associations_at_once_loses_nothing",
        f"{RECEIVER_KEEPING}::test_the_policy_decides_on_a_name_that_is_taken",
        f"{RECEIVER_KEEPING}::test_two_instances_of_one_name_are_both_kept",
    ),
    "E7": (
        f"{RECEIVE_FAULTS}::test_tricklers_are_aborted_and_slow_nobody_down",
        f"{ACCEPTOR}::test_a_data_set_that_trickles_is_aborted",
        f"{RECEIVER_STORING}::test_each_association_is_disturbed_by_itself_alone",
    ),
    "E8": (
        "policy/test_admission.py::test_the_first_objection_decides",
        f"{RECEIVER_SERVICES}::test_who_is_refused_is_told_why_and_so_are_we",
        f"{REAL_SENDERS}::test_dcmtk_reads_why_it_is_refused",
        f"{ACCEPTOR_TLS}::test_versions",
        f"{ACCEPTOR_TLS}::test_profiles_of_dcmtk",
    ),
    "E9": (
        f"{RECEIVER}::test_many_senders_are_served_alike",
        f"{REAL_SENDERS}::test_storescu_at_once_from_many_processes",
    ),
    "F1": (
        f"{ATTACKS}::test_links_planted_during_the_run_are_never_followed",
        f"{ATTACKS}::test_a_device_is_neither_written_nor_replaced",
        "storage/test_directories.py::test_links_are_not_followed",
        "storage/test_directories.py::test_a_fifo_in_place_of_a_folder_blocks_nobody",
    ),
    "F2": (
        "storage/test_atomic.py::test_planted_temporary_names_are_passed_over",
        "storage/test_temporaries.py::test_names_are_never_drawn_twice",
        "storage/test_temporaries.py::test_a_planted_link_in_place_of_the_lock_is_not_followed",
    ),
    "F3": (
        "storage/test_naming.py::test_any_text_gives_a_name_that_the_folder_takes",
        "storage/test_naming.py::test_names_that_some_disk_takes_for_one_share_a_key",
        "storage/test_layout.py::test_no_value_leaves_the_root",
    ),
    "F4": (
        "storage/test_atomic.py::test_mode_follows_the_umask",
        "storage/test_atomic.py::test_a_temporary_name_is_private_and_recognisable",
        "storage/test_folder.py::test_folders_are_made_with_the_mode_the_user_chose",
        "storage/test_folder.py::test_the_umask_is_left_as_it_was",
    ),
    "F5": (
        f"{ATTACKS}::test_hostile_keys_are_refused_as_they_stand",
        f"{ATTACKS}::test_no_path_leaves_the_root",
        f"{OBJECT_FAULTS}::test_no_key_leads_out_of_the_folder",
        "storage/test_object_names.py::test_whatever_the_key_each_component_is_a_plain_name",
    ),
    "F6": (
        "storage/test_dicomdir.py::test_an_entry_that_leads_elsewhere_is_dropped",
        "storage/test_dicomdir.py::test_a_path_that_leads_elsewhere_is_not_read",
        "storage/test_dicomdir.py::test_links_that_lead_nowhere_or_back_are_refused",
        "storage/test_dicom_source.py::test_a_bad_deflated_data_set_is_refused",
    ),
    # G. Fuzzing, as each change runs it
    "G multipart": (
        "fuzz/test_pr_tier.py::test_thousands_of_random_cases_keep_every_promise",
        "fuzz/test_fuzz_parsers.py::test_the_corpus_stays_solved",
        f"{HOSTILE}::test_parser_and_reference_agree",
    ),
    "G fields": (
        "fuzz/test_pr_tier.py::test_thousands_of_random_cases_keep_every_promise",
        f"{FIELDS}::test_hostile_warnings_take_linear_time",
        "fuzz/test_fuzz_objects.py::test_thousands_of_random_cases_keep_every_promise",
    ),
}

NOT_YET = {
    "A6": "there is no ledger before mirror; what get and dump go by instead, their files, is A1",
    "A9": "a soak of a million instances is for the night, not for each change",
}

ITEMS = (
    *(f"A{number}" for number in range(1, 10)),
    *(f"B{number}" for number in range(1, 17)),
    *(f"C{number}" for number in range(1, 7)),
    *(f"D{number}" for number in range(1, 9)),
    *(f"E{number}" for number in range(1, 10)),
    *(f"F{number}" for number in range(1, 7)),
    "G multipart",
    "G fields",
)


@cache
def functions_of(path: str) -> frozenset[str]:
    """Return the names of all test functions in a file, methods too."""
    tree = ast.parse((TESTS / path).read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


@pytest.mark.parametrize("item", ITEMS)
def test_each_item_of_the_contract_is_proven_or_explained(item: str) -> None:
    assert (item in PROVEN) != (item in NOT_YET)
    assert PROVEN.get(item) or NOT_YET.get(item)


def test_nothing_else_is_listed() -> None:
    assert {*PROVEN, *NOT_YET} == set(ITEMS)


@pytest.mark.parametrize("proof", sorted({proof for proofs in PROVEN.values() for proof in proofs}))
def test_each_proof_exists(proof: str) -> None:
    path, _, name = proof.partition("::")
    assert name.startswith("test_")
    assert name in functions_of(path)
