/* ecn: every packet is marked, with the codepoint that the user chooses, as long
 * as the peer's counts agree; what the path made of the marks is told at the end. */
#include "pquic.h"

PQ_PLUGIN("org.pquic.ecn", "1.0.0");
PQ_LICENSE("Apache-2.0");
PQ_SUMMARY("marks all packets for ECN and reports what becomes of the marks");
PQ_USES(pq_log, pq_message);
PQ_HEAP(4096);

PQ_OPTION_U64(codepoint, 2, "2 ECT(0), 1 ECT(1), 0 no marks");

enum { NOT_ECT = 0, ECT1 = 1, ECT0 = 2 };
enum { OFF = 0, UNKNOWN = 2, FAILED = 4 };

/* The report: totals over paths and spaces. */
static struct {
	u64 acked;     /* marked packets acknowledged */
	u64 ect0;      /* reported with ECT(0) */
	u64 ect1;      /* with ECT(1) */
	u64 ce;        /* with CE */
	u64 frames;    /* ACK frames whose counts are right */
	u64 failures;  /* ACK frames whose counts cannot be */
	u64 received;  /* packets received with CE */
} report;

static bool started;
static u64 earlier; /* packets that had ECT(0) before the plugin chose */

SEC("replace/ecn_mark")
int mark(struct pq_ecn_mark_ctx *ctx)
{
	if (!started) {
		started = true;
		for (u64 i = 0; i < 3; i++) {
			struct pq_space *space = pq_space(ctx->path, i);
			earlier += space ? space->ect0_sent : 0;
		}
	}
	u32 state = ctx->path->ecn_state;
	/* Probe timeouts in a row: the path may drop what is marked. */
	bool silent = state == UNKNOWN && ctx->path->pto_count > 1;
	ctx->result_count = NOT_ECT;
	if (state != OFF && state != FAILED && !silent && PQ_OPTION(codepoint) <= ECT0)
		ctx->result_count = PQ_OPTION(codepoint);
	return PQ_OK;
}

/* Packets with ECT(1) that were acknowledged since counts were last judged, by
 * packet number space: the engine counts those with ECT(0) alone. */
struct acked {
	u64 ect1[4];
};

SEC("post/packet_acked")
int acked(struct pq_packet_acked_ctx *ctx)
{
	if (ctx->packet->ecn != ECT1)
		return PQ_OK;
	struct acked *a = pq_path_data(ctx->path, sizeof(struct acked));
	u64 level = ctx->level; /* 1, early data, and 3 share a space */
	if (a)
		a->ect1[level == 0 ? 0 : level == 2 ? 1 : 2]++;
	return PQ_OK;
}

/* The rules of RFC 9000, section 13.4.2.1: the engine's for ECT(0), the same for
 * ECT(1). */
SEC("replace/process_ecn_counts")
int counts(struct pq_process_ecn_counts_ctx *ctx)
{
	struct pq_space *space = pq_space(ctx->path, ctx->space);
	struct acked *a = pq_path_data(ctx->path, sizeof(struct acked));
	if (!space || !a)
		return PQ_FAIL;
	u64 ect0 = ctx->ect0 - space->ect0_reported;
	u64 ect1 = ctx->ect1 - space->ect1_reported;
	u64 ce = ctx->ce - space->ce_reported;
	bool fell = (i64)ect0 < 0 || (i64)ect1 < 0 || (i64)ce < 0;
	u64 marked = ctx->acked_marked + a->ect1[ctx->space & 3];
	a->ect1[ctx->space & 3] = 0;
	pq_native(); /* it remembers the counts, too */
	if (PQ_OPTION(codepoint) == ECT1) {
		if (ctx->present)
			ctx->result_valid = !fell && ect0 + ect1 + ce >= marked && ect0 <= earlier;
		else
			ctx->result_valid = marked == 0;
		ctx->result_new_ce = ctx->present && ctx->result_valid ? ce : 0;
		earlier -= pq_min(ect0, earlier);
	}
	report.acked += marked;
	if (!ctx->result_valid) {
		report.failures++;
	} else if (ctx->present) {
		report.frames++;
		report.ect0 += ect0;
		report.ect1 += ect1;
		report.ce += ce;
	}
	return PQ_OK;
}

SEC("post/packet_received")
int received(struct pq_packet_received_ctx *ctx)
{
	report.received += ctx->packet->ecn == 3;
	return PQ_OK;
}

SEC("post/connection_closed")
int closed(struct pq_connection_closed_ctx *ctx)
{
	pq_log(PQ_INFO, "ecn: %u marked packets acknowledged; reported %u ECT(0), %u ECT(1), %u CE; %u CE received; %u bad counts",
	       report.acked, report.ect0, report.ect1, report.ce, report.received, report.failures);
	pq_message(&report, sizeof(report));
	return PQ_OK;
}
