/* The small numbers that a state is made of, and the structs they stand for. */
#include "explore.h"

#include <assert.h>
#include <string.h>

enum { FRESH_NONCE = 100 };

/* --- records and what holds them --- */

ex_code code_push(ex_code code, uint8_t record)
{
    assert(code < 1 << 12);
    return (ex_code)(code << 4 | record);
}

uint8_t code_lsn(ex_code code)
{
    uint8_t lsn = 0;

    for (; code > 1; code = (ex_code)(code >> 4))
        lsn++;
    return lsn;
}

ex_code code_upto(ex_code code, uint8_t lsn)
{
    uint8_t all = code_lsn(code);

    return (ex_code)(all <= lsn ? code : code >> 4 * (all - lsn));
}

uint8_t code_record(ex_code code, uint8_t lsn)
{
    return (uint8_t)(code_upto(code, lsn) & 15);
}

bool code_holds(ex_code code, uint8_t record)
{
    for (; code > 1; code = (ex_code)(code >> 4))
        if ((code & 15) == record)
            return true;
    return false;
}

uint8_t code_session(size_t node, uint8_t incarnation)
{
    return (uint8_t)(1 + node + 2 * incarnation);
}

size_t code_session_node(uint8_t session)
{
    return session == 0 ? EX_NODES : (size_t)(session - 1) % 2;
}

/* --- roots --- */

uint8_t code_nonce_bit(uint8_t nonce)
{
    if (nonce >= FRESH_NONCE)
        return (uint8_t)(4 << (nonce - FRESH_NONCE));
    return (uint8_t)(nonce == 0 ? 0 : 1 << (nonce - 1));
}

void code_root(const struct root *r, struct ex_root *out)
{
    memset(out, 0, sizeof *out);
    out->state = (uint8_t)r->state;
    out->revision = (uint8_t)r->revision;
    out->epoch = (uint8_t)r->epoch;
    out->session = r->session[0];
    out->nonce = r->nonce[0];
    for (size_t i = 0; i < r->nonce_count; i++)
        out->nonces = (uint8_t)(out->nonces | code_nonce_bit(r->nonces[i][0]));
    assert(r->open_count <= EX_OPEN && r->lineage_count <= EX_LINEAGES);
    out->open_count = (uint8_t)r->open_count;
    for (size_t i = 0; i < r->open_count; i++)
        out->open[i] = (uint8_t)r->open[i];
    out->lineage_count = (uint8_t)r->lineage_count;
    for (size_t i = 0; i < r->lineage_count; i++)
        out->lineages[i] = (struct ex_lineage){.epoch = (uint8_t)r->lineages[i].epoch,
                                               .end_seq = (uint8_t)r->lineages[i].end_seq,
                                               .code = (ex_code)r->lineages[i].chain};
    out->floor_epoch = (uint8_t)r->floor.epoch;
    out->floor_seq = (uint8_t)r->floor.seq;
    out->floor_code = (ex_code)r->floor.chain;
    out->manifest = r->has_manifest ? r->manifest.uuid[0] : 0;
    out->manifest_revision = r->has_manifest ? (uint8_t)r->manifest_revision : 0;
    out->gc_mark = (uint8_t)r->gc_mark;
}

void code_to_root(const struct ex_root *r, struct root *out)
{
    memset(out, 0, sizeof *out);
    memcpy(out->collection, "explore", 8);
    out->state = (enum root_state)r->state;
    out->revision = r->revision;
    out->epoch = r->epoch;
    out->session[0] = r->session;
    out->node_id[0] = r->session == 0 ? 'z' : (char)('a' + code_session_node(r->session));
    out->nonce[0] = r->nonce;
    for (uint8_t i = 0; i < 4; i++)
        if ((r->nonces & 1 << i) != 0)
            out->nonces[out->nonce_count++][0] = (uint8_t)(i < 2 ? 1 + i : FRESH_NONCE + i - 2);
    out->open_count = r->open_count;
    for (size_t i = 0; i < r->open_count; i++)
        out->open[i] = r->open[i];
    out->lineage_count = r->lineage_count;
    for (size_t i = 0; i < r->lineage_count; i++)
        out->lineages[i] = (struct lineage){.epoch = r->lineages[i].epoch,
                                            .end_seq = r->lineages[i].end_seq,
                                            .last_lsn = code_lsn(r->lineages[i].code),
                                            .chain = r->lineages[i].code};
    out->floor = (struct log_floor){.lsn = code_lsn(r->floor_code),
                                    .epoch = r->floor_epoch,
                                    .seq = r->floor_seq,
                                    .chain = r->floor_code};
    out->has_manifest = r->manifest != 0;
    out->manifest.uuid[0] = r->manifest;
    out->manifest.bytes = r->manifest != 0;
    out->manifest_revision = r->manifest_revision;
    out->gc_mark = r->gc_mark;
}
