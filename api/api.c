#include "api/api_internal.h"
#include "api/import.h"
#include "api/qdrant_snapshot.h"

#include "base/mem.h"
#include "node/cold_exec.h"

#include <sched.h>

void api_close(struct api *api)
{
    if (api == NULL)
        return;
    atomic_store(&api->draining, true);
    server_close(api->server);
    while (atomic_load(&api->running) > 0)
        (void)sched_yield();
    for (unsigned i = 0; api->docs != NULL && i < api->doc_count; i++)
        jdoc_destroy(api->docs[i]);
    mem_free(api->docs);
    imports_destroy(api->imports);
    snapshots_destroy(api->snapshots);
    metrics_destroy(api->metrics);
    mem_free(api);
}

status api_open(const struct api_options *options, struct api **out, struct err *err)
{
    struct api *api = mem_zero(sizeof *api);
    status st;

    if (api == NULL)
        return err_set(err, ST_NOMEM, "out of memory for the REST door");
    api->options = *options;
    if (options->replies_bytes_max == 0)
        api->options.replies_bytes_max = 4 * (uint64_t)REPLY_BYTES_MAX;
    if (options->qdrant_body_bytes_max == 0)
        api->options.qdrant_body_bytes_max = options->body_bytes_max;
    api->worker_count = exec_workers(options->exec);
    api->doc_count = api->worker_count + COLD_THREADS;
    api->id_seed = rand_u64(options->rand);
    api->start_ns = clock_mono_ns(options->clock);
    api->docs = mem_zero_array(api->doc_count, sizeof *api->docs);
    api->imports = imports_create();
    api->snapshots = snapshots_create();
    st = api->docs != NULL && api->imports != NULL && api->snapshots != NULL
             ? metrics_create(api, &api->metrics, err)
             : err_set(err, ST_NOMEM, "out of memory for the REST door");
    if (st == ST_OK)
        st = server_open(api, &api->server, err);
    if (st != ST_OK) {
        api_close(api);
        return st;
    }
    api->options.host = NULL; /* was borrowed during this call only, as was the next */
    api->options.qdrant_host = NULL;
    *out = api;
    return ST_OK;
}

uint16_t api_port(const struct api *api)
{
    return server_port(api->server);
}

uint16_t api_qdrant_port(const struct api *api)
{
    return server_qdrant_port(api->server);
}

uint16_t api_grpc_port(const struct api *api)
{
    return server_grpc_port(api->server);
}

void api_drain(struct api *api, uint32_t drain_ms)
{
    atomic_store(&api->draining, true);
    server_drain(api->server, drain_ms);
}
