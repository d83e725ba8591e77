// Ten calls of a host function.
#include "vmtest.h"

SEC("test/host10")
u64 host10(struct pq_ctx *ctx)
{
	u64 s = 0;
	s = t_add(s, 1);
	s = t_add(s, 2);
	s = t_add(s, 3);
	s = t_add(s, 4);
	s = t_add(s, 5);
	s = t_add(s, 6);
	s = t_add(s, 7);
	s = t_add(s, 8);
	s = t_add(s, 9);
	s = t_add(s, 10);
	return s;
}
