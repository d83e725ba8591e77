/* pquic.h - everything a plugin needs, in one include.
 *
 * A plugin is one C file, compiled by
 *
 *	pquic-plugin build hello.c
 *
 * into one object. The section of a function says where it attaches:
 *
 *	SEC("post/update_rtt")               after an operation, to observe
 *	SEC("pre/update_rtt")                before it, to observe
 *	SEC("replace/update_ack_delay")      instead of it
 *	SEC("replace/process_frame/0x31515140")   for one frame type
 *	SEC("on/packet_lost")                on an event, to act
 *	SEC("declare/choose_symbol")         a new operation, for plugins to run
 *	SEC("extern/send_message")           a new operation, for the application
 *
 * Its argument is a pointer to the context of the operation, for instance
 * struct pq_update_rtt_ctx, and it returns PQ_OK. Any other value is a failure:
 * what it wrote is undone, the engine's own code answers, and the plugin is
 * detached. Global variables are the connection's own: each connection has its
 * copy.
 *
 * docs/writing-plugins.md is the tutorial, docs/plugin-abi.md the reference.
 */
#ifndef PQUIC_H
#define PQUIC_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char i8;
typedef short i16;
typedef int i32;
typedef long long i64;

#ifndef __cplusplus
#define bool _Bool
#define true 1
#define false 0
#endif
#ifndef NULL
#define NULL ((void *)0)
#endif

#define PQ_OK 0
#define PQ_FAIL 1

/* Spans of time, in the engine's unit. */
#define PQ_NS 1LL
#define PQ_US 1000LL
#define PQ_MS 1000000LL
#define PQ_SECOND 1000000000LL

#define SEC(name) __attribute__((section(name), used))
#define PQ_ALWAYS_INLINE inline __attribute__((always_inline))

/* What the plugin is: the manifest.
 *
 *	PQ_PLUGIN("org.example.hello", "1.0.0");
 *	PQ_LICENSE("Apache-2.0");
 *	PQ_AUTHOR("…");
 *	PQ_SUMMARY("says hello");
 *	PQ_HEAP(65536);                       bytes for pq_malloc; 1 MiB if left out
 *	PQ_USES(pq_log, pq_reserve_frame);    functions with an effect beyond the plugin
 *	PQ_WRITES(path.ack_delay);            fields that it writes
 *	PQ_FRAME(0x31515140, "1rtt ack_eliciting congestion_controlled");
 *	PQ_PARAMETER(0x31515141);             transport parameters that it owns
 *	PQ_NEGOTIATE(0x31515141);             used only if both ends send this one
 *	PQ_CONFLICTS(org.example.other);
 *	PQ_REQUIRES(org.example.base@1.2);
 *
 * What the code does and the manifest does not declare makes the plugin
 * unloadable; the error names it.
 */
#define PQ_JOIN_(a, b) a##b
#define PQ_JOIN(a, b) PQ_JOIN_(a, b)
#define PQ_TEXT_(...) #__VA_ARGS__
#define PQ_TEXT(...) PQ_TEXT_(__VA_ARGS__)
#define PQ_MANIFEST(text) \
	static const char PQ_JOIN(pq_manifest_, __COUNTER__)[] __attribute__((section(".pquic.manifest"), used)) = text

#define PQ_PLUGIN(name, version)     \
	PQ_MANIFEST("abi=" PQ_TEXT(PQ_ABI_VERSION)); \
	PQ_MANIFEST("name=" name);       \
	PQ_MANIFEST("version=" version)
#define PQ_LICENSE(text) PQ_MANIFEST("license=" text)
#define PQ_AUTHOR(text) PQ_MANIFEST("author=" text)
#define PQ_SUMMARY(text) PQ_MANIFEST("summary=" text)
#define PQ_HEAP(bytes) PQ_MANIFEST("heap=" PQ_TEXT(bytes))
#define PQ_USES(...) PQ_MANIFEST("uses=" PQ_TEXT_(__VA_ARGS__))
#define PQ_WRITES(...) PQ_MANIFEST("writes=" PQ_TEXT_(__VA_ARGS__))
#define PQ_FRAME(type, properties) PQ_MANIFEST("frame=" PQ_TEXT(type) " " properties)
#define PQ_PARAMETER(id) PQ_MANIFEST("parameter=" PQ_TEXT(id))
#define PQ_NEGOTIATE(id) PQ_MANIFEST("negotiate=" PQ_TEXT(id))
#define PQ_CONFLICTS(...) PQ_MANIFEST("conflicts=" PQ_TEXT_(__VA_ARGS__))
#define PQ_REQUIRES(...) PQ_MANIFEST("requires=" PQ_TEXT_(__VA_ARGS__))

/* Options that the user may set: --plugin hello,greeting=hi,every=1s. They are
 * global variables; PQ_OPTION(every) reads one. */
#define PQ_OPTION_(ctype, name, kind, value, help)   \
	ctype pq_option_##name = value;              \
	PQ_MANIFEST("option=" #name " " kind " " help)
#define PQ_OPTION_U64(name, value, help) PQ_OPTION_(u64, name, "u64", value, help)
#define PQ_OPTION_I64(name, value, help) PQ_OPTION_(i64, name, "i64", value, help)
#define PQ_OPTION_BOOL(name, value, help) PQ_OPTION_(u64, name, "bool", value, help)
#define PQ_OPTION_DURATION(name, ns, help) PQ_OPTION_(i64, name, "duration", ns, help)
#define PQ_OPTION_STRING(name, size, value, help)    \
	char pq_option_##name[size] = value;         \
	PQ_MANIFEST("option=" #name " string " help)
#define PQ_OPTION(name) pq_option_##name

/* Flags of pq_reserve_frame: go only into a packet that is sent anyway. */
#define PQ_RIDER 1

/* Fates of a frame, at notify_frame. */
#define PQ_LOST 0
#define PQ_ACKED 1
#define PQ_UNSENT 2

/* Levels of pq_log. */
#define PQ_DEBUG 0
#define PQ_INFO 1
#define PQ_WARN 2
#define PQ_ERROR 3

/* One frame of a block, for pq_reserve_block. */
struct pq_reservation {
	u64 type;
	u64 cookie;
	u64 flags;
	u32 size; /* most bytes it will take, type included */
	u32 zero;
};

/* An address and port, in IPv6 form (IPv4 mapped), host byte order. */
struct pq_address {
	u64 ip_high;
	u64 ip_low;
	u32 port;
	u32 if_index; /* 0 unknown */
	u64 zero;
};

struct pq_connection_id {
	u64 sequence;
	u64 retire_prior_to;
	u32 length;
	u8 bytes[20];
	u8 reset_token[16];
};

/* A range of packet numbers, both ends included. */
struct pq_range {
	u64 lo;
	u64 hi;
};

#include "pquic_gen.h"

/* pq_log(PQ_INFO, "rtt %t of path %u", rtt, id) writes a line to the log of the
 * process. Up to 12 arguments, each a number or a pointer to a string: %d
 * signed, %u unsigned, %x hexadecimal, %t a duration in ns, %s a string. */
#define pq_log(level, format, ...)                                          \
	do {                                                                \
		static const char pq_format_[] = format;                    \
		u64 pq_args_[] = {0, ##__VA_ARGS__};                        \
		(pq_log)(level, pq_format_, pq_args_ + 1, sizeof(pq_args_) - 8);    \
	} while (0)
#define PQ_STRING(s) ((u64)(s))

/* Whether the engine has a field: for plugins that serve several versions. */
#define pq_has_field(object, field) __builtin_preserve_field_info((object)->field, 2)

/* Variable-length integers (RFC 9000, section 16).
 *
 * pq_varint_read reads one from at most size bytes and returns how many it
 * takes, 0 if they end before it does. pq_varint_write writes v in as few bytes
 * as it takes and returns how many, 0 if it is too large; there must be room
 * for 8. */
static PQ_ALWAYS_INLINE u64 pq_varint_size(u64 v)
{
	return v < 1 << 6 ? 1 : v < 1 << 14 ? 2 : v < 1 << 30 ? 4 : v >> 62 ? 0 : 8;
}

static PQ_ALWAYS_INLINE u64 pq_varint_read(const u8 *b, u64 size, u64 *v)
{
	if (size == 0)
		return 0;
	u64 first = b[0];
	u64 n = 1 << (first >> 6);
	if (size < n)
		return 0;
	first &= 0x3f;
	if (n > 1)
		first = first << 8 | b[1];
	if (n > 2)
		first = first << 16 | (u64)b[2] << 8 | b[3];
	if (n > 4)
		first = first << 32 | (u64)b[4] << 24 | (u64)b[5] << 16 | (u64)b[6] << 8 | b[7];
	*v = first;
	return n;
}

static PQ_ALWAYS_INLINE u64 pq_varint_write(u8 *b, u64 v)
{
	u64 n = pq_varint_size(v);
	if (n == 0)
		return 0;
	if (n == 1) {
		b[0] = v;
	} else if (n == 2) {
		b[0] = 0x40 | v >> 8;
		b[1] = v;
	} else if (n == 4) {
		b[0] = 0x80 | v >> 24;
		b[1] = v >> 16;
		b[2] = v >> 8;
		b[3] = v;
	} else {
		b[0] = 0xc0 | v >> 56;
		b[1] = v >> 48;
		b[2] = v >> 40;
		b[3] = v >> 32;
		b[4] = v >> 24;
		b[5] = v >> 16;
		b[6] = v >> 8;
		b[7] = v;
	}
	return n;
}

static PQ_ALWAYS_INLINE i64 pq_min(i64 a, i64 b) { return a < b ? a : b; }
static PQ_ALWAYS_INLINE i64 pq_max(i64 a, i64 b) { return a > b ? a : b; }

/* A queue of pieces of memory, each beginning with a struct pq_node: first in,
 * first out. Its zero value is empty. */
struct pq_node {
	struct pq_node *next;
};

struct pq_list {
	struct pq_node *first;
	struct pq_node *last;
	u64 size;
};

static PQ_ALWAYS_INLINE void pq_list_push(struct pq_list *l, struct pq_node *n)
{
	n->next = NULL;
	if (l->last)
		l->last->next = n;
	else
		l->first = n;
	l->last = n;
	l->size++;
}

static PQ_ALWAYS_INLINE struct pq_node *pq_list_pop(struct pq_list *l)
{
	struct pq_node *n = l->first;
	if (n) {
		l->first = n->next;
		if (!l->first)
			l->last = NULL;
		l->size--;
	}
	return n;
}

#endif
