// What the programs of this folder share. The host side is load_test.go's
// testEnv.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed char s8;
typedef short s16;
typedef int s32;
typedef long long s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define NOINLINE __attribute__((noinline))
#define INLINE static inline __attribute__((always_inline))
#define WEAK __attribute__((weak))
#define CORE __attribute__((preserve_access_index))

// Information about a field or type that the loader fills in.
#define field_offset(f) __builtin_preserve_field_info(f, 0)
#define field_size(f) __builtin_preserve_field_info(f, 1)
#define field_exists(f) __builtin_preserve_field_info(f, 2)
#define field_signed(f) __builtin_preserve_field_info(f, 3)
#define field_lshift(f) __builtin_preserve_field_info(f, 4)
#define field_rshift(f) __builtin_preserve_field_info(f, 5)
#define type_exists(t) __builtin_preserve_type_info(*(typeof(t) *)0, 0)
#define type_size(t) __builtin_preserve_type_info(*(typeof(t) *)0, 1)

// The host's path, with another layout than here.
struct pq_path {
	u64 latest;
	u64 srtt;
	u64 rttvar;
	u64 minrtt;
	u64 cwnd;
	u64 inflight;
	u64 ssthresh;
	u32 mss;
	u32 pto_count;
} CORE;

// The host's context.
struct pq_ctx {
	struct pq_path *path;
	struct {
		u64 acked;
		u64 ack_delay;
		u64 max_ack_delay;
	} sample;
	u32 a;
	s32 b;
	u64 c;
	u8 *buf;
	u32 len;
	u8 id[20];
} CORE;

extern u64 t_add(u64 a, u64 b);
extern u64 t_now(void);
extern u64 t_log(const char *text);
extern u64 t_sum(const u8 *data, u64 len);
