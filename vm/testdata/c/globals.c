// Variables in all kinds of sections and pointers between them.
#include "vmtest.h"

struct node {
	const char *name;
	const struct node *next;
	u32 value;
};

static const struct node third = {"third", 0, 3};
static const struct node second = {"second", &third, 2};
const struct node first = {"first", &second, 1};

u64 counter = 40;
u32 zeroes[32];
u64 *where = &counter;
u32 *middle = &zeroes[16];
const u32 table[4] = {10, 20, 30, 40};
const u32 *const above = &table[1];
u64 aligned __attribute__((aligned(64))) = 5;
u64 custom __attribute__((section(".data.custom"))) = 6;
static const double fraction = 1.5;

SEC("test/globals")
u64 globals(struct pq_ctx *ctx)
{
	u64 sum = 0;
	const struct node *n = &first;
#pragma clang loop unroll(disable)
	for (int i = 0; i < 3; i++) {
		sum = sum * 100 + n->value * 10 + (n->name[0] == 't');
		n = n->next;
	}
	(*where)++;
	*middle = 7;
	sum += counter + zeroes[16] + above[0] + table[ctx->a & 3];
	return sum + ((u64)&aligned & 63) + aligned + custom;
}

SEC("test/strings")
u64 strings(struct pq_ctx *ctx)
{
	const char *text = ctx->a ? "a string of its own" : "another";
	return t_log(text) + t_log("hello");
}

// Constants that the compiler puts into .rodata.cst16 and .rodata.str.
SEC("test/constants")
u64 constants(struct pq_ctx *ctx)
{
	u8 copy[16] = {1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 1, 2, 3, 4};
	u8 text[] = "sixteen letters";
	return t_sum(copy, sizeof copy) + t_sum(text, sizeof text) + *(const u64 *)&fraction;
}
