// Loops as plugins write them. Each program's section is "proved/NAME" or "metered/NAME", what the verifier must say;
// "hard/NAME" end, but a relation between two variables shows it, which the verifier need not find.
#include "../c/vmtest.h"

extern u64 b_len(void);               // any number
extern u64 b_small(void);             // at most 100, as the host promises
extern void *b_alloc(u64 n);          // an address or 0
extern u64 b_scan(const void *p, u64 n);
extern u64 b_fill(void *p, u64 n);

struct node {
	struct node *next;
	u64 value;
};

u64 table[64];
u32 table32[64];
u8 bytes[2048];
volatile u64 sink;

#define MAX 1500

SEC("proved/constant") u64 constant(u8 *p, u64 n)
{
	u64 s = 0;
	for (int i = 0; i < 64; i++)
		s += table[i] * s + 1;
	return s;
}

SEC("proved/clamped") u64 clamped(u8 *p, u64 n)
{
	u64 s = 0;
	if (n > MAX)
		n = MAX;
	for (u64 i = 0; i < n; i++)
		s += p[i];
	return s;
}

SEC("proved/clamped32") u64 clamped32(u8 *p, u64 n)
{
	u32 len = n;
	u64 s = 0;
	if (len > MAX)
		return 0;
	for (u32 i = 0; i < len; i++)
		s = s * 31 + p[i];
	return s;
}

SEC("proved/signed_index") u64 signed_index(u8 *p, u64 n)
{
	int len = n;
	u64 s = 0;
	if (len > 200)
		len = 200;
	for (int i = 0; i < len; i++)
		s = s * 31 + p[i];
	return s;
}

SEC("proved/inside_test") u64 inside_test(u8 *p, u64 n)
{
	u64 s = 0;
	for (u64 i = 0; i < n && i < 300; i++)
		s = s * 31 + p[i];
	return s;
}

SEC("proved/break_at_limit") u64 break_at_limit(u8 *p, u64 n)
{
	u64 s = 0;
	for (u64 i = 0;; i++) {
		if (i >= 128)
			break;
		if (p[i] == 0)
			break;
		s += p[i];
	}
	return s;
}

SEC("proved/countdown") u64 countdown(u8 *p, u64 n)
{
	u64 s = 0;
	if (n > 1000)
		n = 1000;
	while (n > 0) {
		s = s * 7 + p[n];
		n--;
	}
	return s;
}

SEC("proved/countdown_post") u64 countdown_post(u8 *p, u64 n)
{
	u64 s = 0;
	n &= 0xff;
	while (n--)
		s = s * 7 + p[n];
	return s;
}

SEC("proved/pointer_walk") u64 pointer_walk(u8 *p, u64 n)
{
	u64 s = 0;
	if (n > MAX)
		n = MAX;
	for (u8 *q = p, *end = p + n; q < end; q++)
		s = s * 31 + *q;
	return s;
}

SEC("proved/pointer_ne") u64 pointer_ne(u8 *p, u64 n)
{
	u64 s = 0;
	u8 *end = bytes + sizeof bytes;
	for (u8 *q = bytes; q != end; q++)
		s = s * 31 + *q;
	return s;
}

SEC("proved/checksum") u64 checksum(u8 *p, u64 n)
{
	u64 s = 0;
	if (n > MAX)
		n = MAX;
	while (n > 1) {
		s += *(u16 *)p;
		p += 2;
		n -= 2;
	}
	if (n)
		s += *p;
	return s;
}

SEC("proved/checksum_signed") u64 checksum_signed(u8 *p, u64 n)
{
	u64 s = 0;
	int len = n;
	if (len > MAX)
		len = MAX;
	for (; len > 0; len -= 2, p += 2)
		s += *(u16 *)p;
	return s;
}

SEC("proved/step_of_4") u64 step_of_4(u8 *p, u64 n)
{
	u64 s = 0;
	if (n > MAX)
		n = MAX;
	for (u64 i = 0; i + 4 <= n; i += 4)
		s = s * 31 + *(u32 *)(p + i);
	return s;
}

SEC("proved/chunks") u64 chunks(u8 *p, u64 n)
{
	u64 s = 0;
	if (n > MAX)
		n = MAX;
	while (n > 0) {
		u64 c = n < 16 ? n : 16;
		s += b_scan(p, c);
		p += c;
		n -= c;
	}
	return s;
}

SEC("proved/nested") u64 nested(u8 *p, u64 n)
{
	u64 s = 0;
	for (u32 i = 0; i < 16; i++)
		for (u32 j = 0; j < 16; j++)
			s = s * 31 + table[(i ^ j) & 63];
	return s;
}

SEC("hard/triangle") u64 triangle(u8 *p, u64 n)
{
	u64 s = 0;
	for (u32 i = 0; i < 40; i++)
		for (u32 j = i; j < 40; j++)
			s = s * 31 + table[(i + j) & 63];
	return s;
}

SEC("proved/from_memory") u64 from_memory(u8 *p, u64 n)
{
	u64 s = 0;
	u32 count = table32[0];
	if (count > 64)
		count = 64;
	for (u32 i = 0; i < count; i++)
		s = s * 31 + table32[i];
	return s;
}

SEC("proved/reread_limit") u64 reread_limit(u8 *p, u64 n)
{
	u64 s = 0;
	for (u32 i = 0; i < *(volatile u32 *)&table32[0] && i < 64; i++)
		s = s * 31 + table32[i];
	return s;
}

SEC("proved/search") u64 search(u8 *p, u64 n)
{
	for (int i = 0; i < 64; i++)
		if (table[i] == n)
			return i;
	return -1;
}

SEC("proved/insertion_sort") u64 insertion_sort(u8 *p, u64 n)
{
	for (int i = 1; i < 32; i++) {
		u64 x = table[i];
		int j = i - 1;
		while (j >= 0 && table[j] > x) {
			table[j + 1] = table[j];
			j--;
		}
		table[j + 1] = x;
	}
	return table[0];
}

SEC("proved/bits") u64 bits(u8 *p, u64 n)
{
	u64 c = 0;
	for (int i = 0; i < 64; i++)
		c += (n >> i & 1) * (i + c);
	return c;
}

SEC("proved/parse_tlv") u64 parse_tlv(u8 *p, u64 n)
{
	u64 s = 0, pos = 0;
	if (n > MAX)
		n = MAX;
	while (pos < n) {
		u8 len = p[pos];
		s += len;
		pos += 1 + len;
	}
	return s;
}

SEC("proved/parse_varint") u64 parse_varint(u8 *p, u64 n)
{
	u64 s = 0, pos = 0;
	if (n > MAX)
		n = MAX;
	while (pos < n) {
		u64 l = 1ull << (p[pos] >> 6);
		if (pos + l > n)
			break;
		s += l;
		pos += l;
	}
	return s;
}

static NOINLINE u64 sum(const u8 *p, u32 n)
{
	u64 s = 0;
	for (u32 i = 0; i < n; i++)
		s = s * 31 + p[i];
	return s;
}

SEC("proved/in_callee") u64 in_callee(u8 *p, u64 n)
{
	if (n > 512)
		n = 512;
	return sum(p, n) + sum(bytes, 16);
}

SEC("proved/host_limit") u64 host_limit(u8 *p, u64 n)
{
	u64 s = 0, c = b_small();
	for (u64 i = 0; i < c; i++)
		s += b_scan(p, i);
	return s;
}

SEC("proved/local_array") u64 local_array(u8 *p, u64 n)
{
	u32 a[32];
	for (u32 i = 0; i < 32; i++)
		a[i] = p[i] * i;
	b_fill(a, sizeof a);
	u64 s = 0;
	for (u32 i = 0; i < 32; i++)
		s = s * 31 + a[i];
	return s;
}

SEC("proved/copy") u64 copy(u8 *p, u64 n)
{
	u8 *q = b_alloc(MAX);
	if (!q)
		return 0;
	if (n > MAX)
		n = MAX;
	for (u64 i = 0; i < n; i++)
		q[i] = p[i] ^ 0x5a;
	return b_scan(q, n);
}

SEC("proved/binary_search") u64 binary_search(u8 *p, u64 n)
{
	u32 lo = 0, hi = 64;
	for (int i = 0; i < 7 && lo < hi; i++) {
		u32 mid = (lo + hi) / 2;
		if (table[mid & 63] < n)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

SEC("proved/ring") u64 ring(u8 *p, u64 n)
{
	u32 head = table32[0] & 63, tail = table32[1] & 63;
	u64 s = 0;
	for (u32 k = 0; k < 64 && head != tail; k++) {
		s += table[head];
		head = (head + 1) & 63;
	}
	return s;
}

SEC("proved/two_limits") u64 two_limits(u8 *p, u64 n)
{
	u64 s = 0, m = table[0];
	if (n > 100)
		n = 100;
	if (m > n)
		m = n;
	for (u64 i = 0; i < m; i++)
		s = s * 31 + p[i];
	for (u64 i = m; i < n; i++)
		s = s * 37 + p[i];
	return s;
}

SEC("proved/spilled") u64 spilled(u8 *p, u64 n)
{
	u64 a = table[0], b = table[1], c = table[2], d = table[3], e = table[4], f = table[5], s = 0;
	if (n > 200)
		n = 200;
	for (u64 i = 0; i < n; i++) {
		s += b_scan(p + i, a + i) + b;
		a += c * i; b ^= d + i; c += e; d ^= f; e += s; f *= a + i;
	}
	return s + a + b + c + d + e + f;
}

SEC("metered/list") u64 list(u8 *p, u64 n)
{
	u64 s = 0;
	for (struct node *x = (struct node *)p; x; x = x->next)
		s += x->value;
	return s;
}

SEC("proved/list_limited") u64 list_limited(u8 *p, u64 n)
{
	u64 s = 0;
	int left = 256;
	for (struct node *x = (struct node *)p; x && left > 0; x = x->next, left--)
		s += x->value;
	return s;
}

SEC("metered/unclamped") u64 unclamped(u8 *p, u64 n)
{
	u64 s = 0;
	for (u64 i = 0; i < n; i++)
		s = s * 31 + p[i & 15];
	return s;
}

SEC("metered/forever") u64 forever(u8 *p, u64 n)
{
	for (;;)
		sink++;
	return 0;
}

SEC("metered/collatz") u64 collatz(u8 *p, u64 n)
{
	u64 c = 0;
	while (n != 1) {
		n = n & 1 ? 3 * n + 1 : n / 2;
		c++;
	}
	return c;
}

SEC("metered/strlen") u64 str_len(u8 *p, u64 n)
{
	u64 i = 0;
	while (p[i])
		i++;
	return i;
}
