// refused: field "path" is a pointer to struct pq_path here, struct pq_stream * in the program
#include "../vmtest.h"

struct pq_stream {
	u64 id;
} CORE;

struct pq_ctx___other {
	struct pq_stream *path;
} CORE;

SEC("test/refused")
u64 pointer(struct pq_ctx___other *ctx)
{
	return ctx->path->id;
}
