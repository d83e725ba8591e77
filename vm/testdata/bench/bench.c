// What the benchmarks measure; bench_test.go has the same in Go.
#include "../c/vmtest.h"

struct b_path {
	u64 latest, srtt, rttvar, minrtt, cwnd, inflight, ssthresh, mss, acked, ack_delay, max_ack_delay, pto;
} CORE;

extern u64 b_host(u64 a, u64 b);

SEC("bench/empty") u64 empty(struct b_path *c) { return 0; }

SEC("bench/host10") u64 host10(struct b_path *c)
{
	u64 s = 0;
#pragma clang loop unroll(full)
	for (u64 i = 0; i < 10; i++)
		s = b_host(s, i);
	return s;
}

SEC("bench/fields") u64 fields(struct b_path *p)
{
	return ((((p->latest + p->srtt * 3 + p->rttvar) ^ (p->minrtt + p->cwnd)) ^ (p->inflight + p->ssthresh)) ^
		(p->mss + p->acked)) ^ p->ack_delay;
}

SEC("bench/ack") u64 ack(struct b_path *c)
{
	u64 l = c->latest, mr = c->minrtt, ad = c->ack_delay, mad = c->max_ack_delay;
	if (l < mr) {
		mr = l;
		c->minrtt = mr;
	}
	if (ad > mad)
		ad = mad;
	u64 adj = l;
	if (l >= mr + ad)
		adj = l - ad;
	u64 s = c->srtt, v = c->rttvar;
	u64 d = s > adj ? s - adj : adj - s;
	c->rttvar = (3 * v + d) >> 2;
	c->srtt = (7 * s + adj) >> 3;
	u64 a = c->acked, inf = c->inflight;
	inf = inf > a ? inf - a : 0;
	c->inflight = inf;
	u64 cw = c->cwnd;
	if (cw < c->ssthresh)
		cw += a;
	else
		cw += c->mss * a / cw;
	c->cwnd = cw;
	c->pto = 0;
	return cw;
}

SEC("bench/alu") u64 alu(struct b_path *c)
{
	u64 x = 88172645463325252ull;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 10000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
	}
	return x;
}

SEC("bench/csum") u64 csum(struct b_path *c, u8 *mem, u64 n)
{
	u64 s = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 10000; i++)
		s += *(u16 *)(mem + ((i * 2) & 1022));
	s = (s & 0xffff) + (s >> 16);
	s = (s & 0xffff) + (s >> 16);
	return ~s & 0xffff;
}

SEC("bench/mem") u64 mem(struct b_path *c, u8 *m, u64 n)
{
	u64 s = 0;
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < 10000; i++) {
		u64 *w = (u64 *)(m + ((i * 8) & 1016)), v = *w;
		s += v;
		*w = v + i;
	}
	return s;
}
