package core

import (
	"strings"
	"testing"
)

// paperFields lists every field the getters and setters of the C implementation
// of "Pluginizing QUIC" name, object by object, and what stands for it here:
// fields as object.name (a trailing * for all that begin so), or after a dash why
// there is none.
var paperFields = map[string]string{
	"cnx": `proposed_version conn.original_version; is_0rtt_accepted conn.early_data_state; remote_parmeters_received conn.peer_params_received
current_spin conn.spin; client_mode conn.is_server; prev_spin conn.spin_received; spin_vec conn.spin_edges; spin_edge conn.spin_edges; spin_last_trigger conn.spin_edge_time
local_parameter conn.local_param_*; remote_parameter conn.remote_param_*; max_early_data_size conn.early_data_state; state conn.state; start_time conn.start_time
application_error conn.application_error; local_error conn.local_error; remote_application_error conn.remote_application_error; remote_error conn.remote_error
offending_frame_type conn.offending_frame_type; next_wake_time conn.next_wake_time; latest_progress_time conn.last_progress_time
nb_path_challenge_sent conn.path_challenges_sent; nb_path_response_received conn.path_responses_received; nb_zero_rtt_sent conn.zero_rtt_sent; nb_zero_rtt_acked conn.zero_rtt_acked
nb_retransmission_total conn.packets_retransmitted; nb_spurious conn.packets_spurious; data_sent conn.data_sent; data_received conn.data_received
maxdata_local conn.max_data_local; maxdata_remote conn.max_data_remote; max_stream_id_bidir_local conn.max_streams_bidi_local; max_stream_id_unidir_local conn.max_streams_uni_local
max_stream_id_bidir_remote conn.max_streams_bidi_remote; max_stream_id_unidir_remote conn.max_streams_uni_remote; keep_alive_interval conn.keep_alive_interval; nb_paths conn.paths
retry_token_length conn.retry_token_length; plugin_requested -state of the plugin exchange; pids_to_request_size -state of the plugin exchange
input -Call.Arg; output -Call.SetResult; initial_cid conn.original_connection_id; path -Conn.Path; congestion_control_algorithm conn.congestion_control
tls_stream -handshake bytes pass through process_frame/0x6; crypto_context -keys are never visible; return_value -Call.Result; reserved_frames conn.reserved_frames
retry_frames -notify_frame says "not sent", the plugin reserves again; first_stream -Conn.Streams; pids_to_request -state of the plugin exchange; rtx_frames -notify_frame says "lost"
handshake_done conn.handshake_confirmed; handshake_done_sent conn.handshake_done_sent; handshake_done_acked conn.handshake_done_acked; quic_mtu_max path.mtu_ceiling
wake_now -Conn.Wake; ready_notified conn.handshake_complete`,
	"path": `peer_addr_len path.remote_ip_high; local_addr_len path.local_ip_high; if_index_local path.if_index_local; challenge -unpredictable, for the engine alone
challenge_time path.challenge_time; challenge_repeat_count path.challenges; mtu_probe_sent path.mtu_probed; challenge_verified path.validated
challenge_response_to_send path.responses_sent; ping_received -process_frame/0x1; max_ack_delay path.max_ack_delay; smoothed_rtt path.smoothed_rtt; rtt_variant path.rttvar
retransmit_timer path.loss_deadline; rtt_min path.min_rtt; max_spurious_rtt path.max_spurious_rtt; max_reorder_delay path.max_reorder_delay; max_reorder_gap path.max_reorder_gap
send_mtu path.mtu; send_mtu_max_tried path.mtu_ceiling; cwin path.congestion_window; bytes_in_transit path.bytes_in_flight; packet_evaluation_time path.pacer_last
pacing_bucket_nano_sec path.pacer_tokens; pacing_bucket_max path.pacer_burst; pacing_packet_time_nanosec path.pacer_rate; nb_pkt_sent path.packets_sent
delivered_limited_index packet.app_limited; pacing_packet_time_microsec path.pacer_rate; rtt_sample path.latest_rtt; peer_addr path.remote_ip_low; local_addr path.local_ip_low
challenge_response -unpredictable, for the engine alone; congestion_algorithm_state path.congestion_state; local_cid path.local_connection_id; remote_cid path.remote_connection_id
reset_secret -a secret; pkt_ctx path.space_*; delivered path.delivered; delivered_prior packet.delivered_prior; bandwidth_estimate path.bandwidth_estimate`,
	"pkt_ctx": `send_sequence space.next_number; time_stamp_largest_received space.largest_received_time; highest_ack_sent space.largest_ack_sent; highest_ack_time space.last_ack_time
ack_delay_local path.ack_delay; nb_retransmit space.retransmits; latest_retransmit_time space.last_loss_time; highest_acknowledged space.largest_acked
latest_time_acknowledged space.largest_acked_time; ack_needed space.ack_now; latest_retransmit_cc_notification_time path.recovery_start; first_sack_item -Path.Received
retransmit_newest space.next_number; retransmit_oldest space.oldest_number; retransmitted_newest packet.state; retransmitted_oldest packet.state; latest_progress_time conn.last_progress_time`,
	"pkt": `send_path packet.path_id; sequence_number packet.number; send_time packet.sent_time; length packet.size; checksum_overhead builder.overhead; offset builder.header_length
is_pure_ack packet.flags; contains_crypto packet.flags; is_congestion_controlled packet.flags; is_mtu_probe packet.flags; has_handshake_done packet.flags
previous_packet -Path.SentPacket; next_packet -Path.SentPacket; type packet.level; context packet.level; bytes -PacketBuilder.Payload; delivered_prior packet.delivered_prior
delivered_time_prior packet.delivered_time_prior; delivered_sent_prior packet.first_sent_time; delivered_app_limited packet.app_limited`,
	"sack_item": `start_range -Path.Received; end_range -Path.Received; next_sack -Path.Received`,
	"cnxid":     `len path.remote_connection_id_length; id path.remote_connection_id`,
	"stream_head": `consumed_offset stream.consumed_offset; flags_fin_requested stream.flags; flags_fin_sent stream_send.fin_sent; flags_fin_received stream.flags
flags_fin_signalled stream_recv.size_known; flags_reset_requested stream_send.reset_requested; flags_reset_sent stream_send.reset_sent; flags_reset_received stream_recv.reset_received
flags_reset_signalled stream_recv.reset_read; flags_stop_sending_requested stream_recv.stopped; flags_stop_sending_sent stream.flags; flags_stop_sending_received stream.flags
flags_stop_sending_signalled stream.peer_stop_code; flags_max_stream_updated stream.flags; send_queue -Stream.SendFIFO; next_stream -Conn.Streams; stream_id stream.id
max_data_remote stream_send.max_stream_data; sent_offset stream_send.next_offset; sending_offset stream_send.acked_offset; max_data_local window.max`,
	"stream_data":    `length -FrameFate.Length; offset -FrameFate.Cookie`,
	"crypto_context": `aead_encryption -keys are never visible`,
	"ph": `destination_cnxid received_packet.path_id; offset received_packet.header_length; payload_length received_packet.payload_length; sequence_number received_packet.number
epoch received_packet.level; ptype received_packet.type; pc path.space_*`,
	"preq": `requested -state of the plugin exchange; pid_id -state of the plugin exchange; plugin_name -state of the plugin exchange`,
}

// Every field of the C implementation has its counterpart, or a reason.
func TestPaperFields(t *testing.T) {
	fields := map[string]bool{}
	for _, table := range FieldTables() {
		for _, f := range table.Fields() {
			fields[f.Object+"."+f.Name] = true
		}
	}
	has := func(name string) bool {
		prefix, all := strings.CutSuffix(name, "*")
		if !all {
			return fields[name]
		}
		for f := range fields {
			if strings.HasPrefix(f, prefix) {
				return true
			}
		}
		return false
	}
	for object, list := range paperFields {
		seen := map[string]bool{}
		for _, entry := range strings.FieldsFunc(list, func(r rune) bool { return r == ';' || r == '\n' }) {
			name, ours, _ := strings.Cut(strings.TrimSpace(entry), " ")
			if seen[name] {
				t.Errorf("%s.%s is listed twice", object, name)
			}
			seen[name] = true
			if why, none := strings.CutPrefix(ours, "-"); none && why != "" {
				continue
			}
			if !has(ours) {
				t.Errorf("%s.%s: no field %q", object, name, ours)
			}
		}
		want := map[string]int{"cnx": 59, "path": 41, "pkt_ctx": 17, "pkt": 20, "sack_item": 3, "cnxid": 2, "stream_head": 21, "stream_data": 2, "crypto_context": 1, "ph": 7, "preq": 3}[object]
		if len(seen) != want {
			t.Errorf("%s: %d fields listed, the C implementation has %d", object, len(seen), want)
		}
	}
}
