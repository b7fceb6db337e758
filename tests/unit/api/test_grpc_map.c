/* Each message of the gRPC door says in JSON what its route reads, and each answer comes back as
 * the message its clients read. Messages are written by hand, so that numbers and types are held
 * too. */
#include "api/api_internal.h"
#include "api/grpc_call.h"
#include "base/json.h"
#include "base/rand.h"
#include "tests/support/alloc_sweep.h"
#include "tests/support/wire_text.h"

#include <stdio.h>

enum { BODY_MAX = 1 << 20 };

struct asked { /* of one call */
    struct request req;
    struct grpc_call call;
    struct grpc_in in;
    bool fine;
};

static void ask(struct asked *a, const char *method, struct slice message)
{
    memset(a, 0, sizeof *a);
    arena_init(&a->req.arena, REQUEST_ARENA_BYTES_MAX);
    buf_init(&a->req.body, BODY_MAX);
    a->req.grpc = &a->call;
    a->call.method = grpc_method_find(slice_text(method));
    assert_non_null(a->call.method);
    a->call.message = message;
    a->fine = grpc_call_read(&a->req, NULL, 0, &a->in);
}

static void asked_free(struct asked *a)
{
    arena_free(&a->req.arena);
    buf_free(&a->req.body);
}

static struct buf wire(const char *text)
{
    struct buf out;

    buf_init(&out, BODY_MAX);
    assert_true(*wire_text_fields(text, &out) == '\0');
    assert_false(out.failed);
    return out;
}

#define P "/qdrant.Points/"
#define K "/qdrant.Collections/"
#define S "/akidb.collection.v1.CollectionService/"
#define M "/akidb.collection.v1.CollectionManagementService/"

/* path;query;body, as "a/b;wait=true;{..}" */
struct read_row {
    const char *method, *message, *said;
};
static const struct read_row READS[] = {
    /* ids, payload values, vectors old and new */
    {P "Upsert", "1\"c\" 2=1 3{1{1=7} 3{1\"a\" 2{3=-5}} 4{1{101{1[1 2]}}}}",
     "c;wait=true;{\"points\":[{\"id\":7,\"payload\":{\"a\":-5},\"vector\":[\"@0\"]}]}"},
    {P "Upsert", "1\"c\" 3{1{2\"x\"} 4{1{1[1 2]}}}",
     "c;;{\"points\":[{\"id\":\"x\",\"vector\":[\"@0\"]}]}"},
    {P "Upsert", "1\"c\" 3{1{1=18446744073709551615} 4{1{1f1 1f2 1[3]}}}",
     "c;;{\"points\":[{\"id\":18446744073709551615,\"vector\":[\"@0\"]}]}"},
    {P "Upsert", "1\"c\" 3{1{1=1} 4{2{1{1\"n\" 2{101{1[1]}}} 1{1\"\" 2{101{}}}}}}",
     "c;;{\"points\":[{\"id\":1,\"vector\":{\"n\":[\"@0\"],\"\":[\"@1\"]}}]}"},
    {P "Upsert", "1\"c\" 3{1{1=1} 4{2{}}}", "c;;{\"points\":[{\"id\":1,\"vector\":{}}]}"},
    {P "Upsert", "1\"c\"", "c;;{\"points\":[]}"},
    {P "Upsert", "1\"c\" 6{2{3{1{1=1}}}} 8=1 7=3 4{1=2}",
     "c;timeout=3&ordering=strong;{\"points\":[],\"update_filter\":{\"must\":[{\"has_id\":[1]}]},"
     "\"update_mode\":\"insert_only\"}"},
    {P "Upsert", "1\"c\" 3{1{1=1} 4{1{102{1[1] 2(7)}}}}",
     "c;;{\"points\":[{\"id\":1,\"vector\":{\"indices\":[],\"values\":[]}}]}"},
    {P "Upsert", "1\"c\" 3{1{1=1} 4{1{1[1] 2{1(7)}}}}",
     "c;;{\"points\":[{\"id\":1,\"vector\":{\"indices\":[],\"values\":[]}}]}"},
    {P "SetPayload",
     "1\"c\" 3{1\"n\" 2{1=0}} 3{1\"d\" 2{2d1}} 3{1\"i\" 2{3=9007199254740993}} 3{1\"s\" "
     "2{4\"a\\00b\"}}"
     "3{1\"b\" 2{5=1}} 3{1\"o\" 2{6{1{1\"x\" 2{5=0}}}}} 3{1\"l\" 2{7{1{3=1} 1{7{}} 1{6{}} 1{}}}}"
     "5{1{1{1=1} 1{1=2}}} 8\"p.q\"",
     "c;;{\"payload\":{\"n\":null,\"d\":1.0,\"i\":9007199254740993,\"s\":\"a\\u0000b\",\"b\":true,"
     "\"o\":{\"x\":false},\"l\":[1,[],{},null]},\"points\":[1,2],\"key\":\"p.q\"}"},
    {P "OverwritePayload", "1\"c\" 5{2{}}", "c;;{\"payload\":{},\"filter\":{}}"},
    {P "DeletePayload", "1\"c\" 3\"a\" 3\"b\" 5{1{1{1=1}}}",
     "c;;{\"keys\":[\"a\",\"b\"],\"points\":[1]}"},
    {P "ClearPayload", "1\"c\" 3{1{}}", "c;;{\"points\":[]}"},
    {P "Delete", "1\"c\" 2=0 3{1{1{1=1} 1{2\"u\"}}}", "c;wait=false;{\"points\":[1,\"u\"]}"},
    {P "Delete", "1\"c\"", "c;;{}"},
    {P "UpdateVectors", "1\"c\" 3{1{1=1} 2{1{101{1[1]}}}}",
     "c;;{\"points\":[{\"id\":1,\"vector\":[\"@0\"]}]}"},
    {P "DeleteVectors", "1\"c\" 3{1{1{1=1}}} 4{1\"a\" 1\"b\"}",
     "c;;{\"points\":[1],\"vector\":[\"a\",\"b\"]}"},
    {P "Get", "1\"c\" 2{1=1} 4{1=1} 5{2{1\"n\"}} 6{1=1} 8=2",
     "c;timeout=2&consistency=majority;{\"ids\":[1],\"with_payload\":true,\"with_vector\":[\"n\"]"
     "}"},
    {P "Get", "1\"c\" 4{2{1\"a.b\"}} 6{2=3}",
     "c;consistency=3;{\"ids\":[],\"with_payload\":{\"include\":[\"a.b\"]}}"},
    {P "Get", "1\"c\" 4{3{1\"a\"}} 5{1=0}",
     "c;;{\"ids\":[],\"with_payload\":{\"exclude\":[\"a\"]},\"with_vector\":false}"},
    {P "UpdateBatch",
     "1\"c\" 3{1{1{1{1=1} 4{2{}}}}} 3{2{1{1{1=2}}}} 3{9{1{1{1{1=3}}}}} 3{3{1{1\"a\" 2{3=1}} "
     "2{2{}}}}"
     "3{4{2{1{1{1=4}}}}} 3{5{1\"k\" 2{1{}}}} 3{6{2{}}} 3{10{1{2{}}}} 3{7{1{1{1=1} "
     "2{1{101{1[2]}}}}}}"
     "3{8{1{1{}} 2{1\"v\"}}}",
     "c;;{\"operations\":[{\"upsert\":{\"points\":[{\"id\":1,\"vector\":{}}]}},"
     "{\"delete\":{\"points\":[2]}},{\"delete\":{\"points\":[3]}},"
     "{\"set_payload\":{\"payload\":{\"a\":1},\"filter\":{}}},"
     "{\"overwrite_payload\":{\"payload\":{},\"points\":[4]}},"
     "{\"delete_payload\":{\"keys\":[\"k\"],\"points\":[]}},"
     "{\"clear_payload\":{\"filter\":{}}},{\"clear_payload\":{\"filter\":{}}},"
     "{\"update_vectors\":{\"points\":[{\"id\":1,\"vector\":[\"@0\"]}]}},"
     "{\"delete_vectors\":{\"points\":[],\"vector\":[\"v\"]}}]}"},
    {P "CreateFieldIndex", "1\"c\" 3\"f\" 4=0",
     "c;;{\"field_name\":\"f\",\"field_schema\":\"keyword\"}"},
    {P "CreateFieldIndex", "1\"c\" 2=1 3\"f\" 4=4 5{1{1=3 2=1 3=2}}",
     "c;wait=true;{\"field_name\":\"f\",\"field_schema\":{\"type\":\"text\",\"tokenizer\":\"word\","
     "\"lowercase\":true,\"min_token_len\":2}}"},
    {P "CreateFieldIndex", "1\"c\" 3\"f\" 5{3{1=1}}",
     "c;;{\"field_name\":\"f\",\"field_schema\":{\"type\":\"keyword\",\"is_tenant\":true}}"},
    {P "CreateFieldIndex", "1\"c\" 3\"f\"", "c;;{\"field_name\":\"f\"}"},
    {P "DeleteFieldIndex", "1\"c\" 3\"a.b\"", "c/a.b;;"},

    /* filters */
    {P "Count", "1\"c\" 3=1 2{1{1{1\"k\" 2{1\"v\"}}} 2{1{1\"k\" 2{2=0}}} 3{1{1\"k\" 2{3=0}}}}",
     "c;;{\"filter\":{\"should\":[{\"key\":\"k\",\"match\":{\"value\":\"v\"}}],\"must\":[{\"key\":"
     "\"k\",\"match\":{\"value\":0}}],\"must_not\":[{\"key\":\"k\",\"match\":{\"value\":false}}]},"
     "\"exact\":true}"},
    {P "Count",
     "1\"c\" 2{2{1{1\"k\" 2{4\"t\"}}} 2{1{1\"k\" 2{5{1\"a\"}}}} 2{1{1\"k\" 2{6{1(1 2)}}}}}",
     "c;;{\"filter\":{\"must\":[{\"key\":\"k\",\"match\":{\"text\":\"t\"}},{\"key\":\"k\","
     "\"match\":{"
     "\"any\":[\"a\"]}},{\"key\":\"k\",\"match\":{\"any\":[1,2]}}]}}"},
    {P "Count",
     "1\"c\" 2{2{1{1\"k\" 2{7{1=1 1=2}}}} 2{1{1\"k\" 2{8{}}}} 2{1{1\"k\" 2{9\"p\"}}} 2{1{1\"k\" "
     "2{10\"w\"}}}}",
     "c;;{\"filter\":{\"must\":[{\"key\":\"k\",\"match\":{\"except\":[1,2]}},{\"key\":\"k\","
     "\"match\":{"
     "\"except\":[]}},{\"key\":\"k\",\"match\":{\"phrase\":\"p\"}},{\"key\":\"k\",\"match\":{"
     "\"text_any\":\"w\"}}]}}"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 3{1d1.5 4d-0.5}}} 2{1{1\"k\" 6{2=3}}} 2{1{1\"k\" 9=1}}}",
     "c;;{\"filter\":{\"must\":[{\"key\":\"k\",\"range\":{\"lt\":1.5,\"lte\":-0.5}},{\"key\":\"k\","
     "\"values_count\":{\"gt\":3}},{\"key\":\"k\",\"is_empty\":true}]}}"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 8{3{1=0} 1{1=951782400 2=5} 2{1=-1}}}}}",
     "c;;{\"filter\":{\"must\":[{\"key\":\"k\",\"range\":{\"lt\":\"2000-02-29T00:00:00."
     "000000005Z\","
     "\"gt\":\"1969-12-31T23:59:59.000000000Z\",\"gte\":\"1970-01-01T00:00:00.000000000Z\"}}]}}"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 5{1{1d1} 2f0.5}}} 2{1{1\"k\" 4{1{2d1} 2{}}}}}",
     "c;;{\"filter\":{\"must\":[{\"key\":\"k\",\"geo_radius\":{\"center\":{\"lon\":1.0,\"lat\":0.0}"
     ","
     "\"radius\":0.5}},{\"key\":\"k\",\"geo_bounding_box\":{\"top_left\":{\"lon\":0.0,\"lat\":1.0},"
     "\"bottom_right\":{\"lon\":0.0,\"lat\":0.0}}}]}}"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 7{1{1{1d1}} 2{}}}}}",
     "c;;{\"filter\":{\"must\":[{\"key\":\"k\",\"geo_polygon\":{\"exterior\":{\"points\":[{\"lon\":"
     "1.0,"
     "\"lat\":0.0}]},\"interiors\":[{\"points\":[]}]}}]}}"},
    {P "Count",
     "1\"c\" 2{2{2{1\"e\"}} 2{3{1{1=1}}} 2{4{2{5{1\"n\"}}}} 2{6{1\"a\" 2{}}} 2{7{1\"v\"}} "
     "2{8{1=4}} 2{}"
     "4{1{7{}} 2=2}}",
     "c;;{\"filter\":{\"must\":[{\"is_empty\":{\"key\":\"e\"}},{\"has_id\":[1]},{\"must\":[{\"is_"
     "null\":"
     "{\"key\":\"n\"}}]},{\"nested\":{\"key\":\"a\",\"filter\":{}}},{\"has_vector\":\"v\"},{"
     "\"slice\":{"
     "\"total\":4,\"index\":0}},{}],\"min_should\":{\"conditions\":[{\"has_vector\":\"\"}],\"min_"
     "count\":2}}}"},

    /* queries */
    {P "Query",
     "1\"c\" 3{1{2{1[1 2]}}} 4\"u\" 8=3 9=1 7f0.5 11{1=1} 10{1=1} 6{1=64 2=1 3{1=1 3d2}}",
     "c;;{\"query\":{\"nearest\":[\"@0\"]},\"using\":\"u\",\"params\":{\"hnsw_ef\":64,\"exact\":"
     "true,"
     "\"quantization\":{\"ignore\":true,\"oversampling\":2.0}},\"score_threshold\":0.5,\"limit\":3,"
     "\"offset\":1,\"with_vector\":true,\"with_payload\":true}"},
    {P "Query", "1\"c\" 3{1{1{1=5}}}", "c;;{\"query\":{\"nearest\":5}}"},
    {P "Query", "1\"c\" 3{2{1{1{1=5}} 2{2{1[1]}} 3=1}}",
     "c;;{\"query\":{\"recommend\":{\"positive\":[5],\"negative\":[[\"@0\"]],\"strategy\":\"best_"
     "score\"}}}"},
    {P "Query", "1\"c\" 2{2{1{1{1=1}}} 7=2 1{3\"i\"}} 3{6=1}",
     "c;;{\"prefetch\":[{\"prefetch\":[{\"using\":\"i\"}],\"query\":{\"nearest\":1},\"limit\":2}],"
     "\"query\":{\"fusion\":\"dbsf\"}}"},
    {P "Query", "1\"c\" 3{10{1=60 2[1 0.5]}}",
     "c;;{\"query\":{\"rrf\":{\"k\":60,\"weights\":[1.0,0.5]}}}"},
    {P "Query", "1\"c\" 3{9{1{1{1=1}} 2{2f0.5 3=9}}}",
     "c;;{\"query\":{\"nearest\":1,\"mmr\":{\"diversity\":0.5,\"candidates_limit\":9}}}"},
    {P "Query", "1\"c\" 3{7=0} 14{1\"o\" 2\"n\"}",
     "c;;{\"query\":{\"sample\":\"random\"},\"lookup_from\":{\"collection\":\"o\",\"vector\":\"n\"}"
     "}"},
    {P "Query", "1\"c\" 3{5{1\"k\" 2=1 3{2=-3}}}",
     "c;;{\"query\":{\"order_by\":{\"key\":\"k\",\"direction\":\"desc\",\"start_from\":-3}}}"},
    {P "Query", "1\"c\" 3{8{1{1f1}}}", "c;;{\"query\":{\"formula\":{}}}"},
    {P "QueryBatch", "1\"c\" 4=3 2{1\"c\" 8=1} 2{15=9 10{1=0}}",
     "c;timeout=3;{\"searches\":[{\"limit\":1},{\"with_vector\":false}]}"},
    {P "QueryGroups", "1\"c\" 13\"g\" 11=4 12=2 9{1=1}",
     "c;;{\"with_vector\":true,\"limit\":4,\"group_size\":2,\"group_by\":\"g\"}"},
    {P "Search", "1\"c\" 2[1 2] 4=3 8f0.25",
     "c;;{\"vector\":[\"@0\"],\"limit\":3,\"score_threshold\":0.25}"},
    {P "Search", "1\"c\" 2[1 2] 10\"n\" 13=2",
     "c;timeout=2;{\"vector\":{\"name\":\"n\",\"vector\":[\"@0\"]},\"limit\":0}"},
    {P "SearchBatch", "1\"c\" 2{1\"c\" 2[1] 4=1} 2{2[2] 4=2}",
     "c;;{\"searches\":[{\"vector\":[\"@0\"],\"limit\":1},{\"vector\":[\"@1\"],\"limit\":2}]}"},
    {P "Scroll", "1\"c\" 3{1=9} 4=2 10{1\"k\" 3{3{1=0}}}",
     "c;;{\"offset\":9,\"limit\":2,\"order_by\":{\"key\":\"k\",\"start_from\":"
     "\"1970-01-01T00:00:00.000000000Z\"}}"},
    {P "Facet", "1\"c\" 2\"k\" 4=5 5=1", "c;;{\"key\":\"k\",\"limit\":5,\"exact\":true}"},
    {P "SearchMatrixPairs", "1\"c\" 3=5 4=2 5\"u\"",
     "c;;{\"sample\":5,\"limit\":2,\"using\":\"u\"}"},

    /* collections */
    {K "Create", "1\"c\" 10{1{1=4 2=3 5=1 3{1=8}}} 9=5 7=1 14{1{1=1 2f0.5}}",
     "c;timeout=5;{\"shard_number\":1,\"vectors\":{\"size\":4,\"distance\":\"Dot\",\"hnsw_config\":"
     "{\"m\":8"
     "},\"on_disk\":true},\"quantization_config\":{\"scalar\":{\"type\":\"int8\",\"quantile\":0.5}}"
     "}"},
    {K "Create", "1\"c\" 10{2{1{1\"a\" 2{1=4 2=1}} 1{2{1=2 2=2 6=1}}}} 18{1\"m\" 2{3=1}} 15=0",
     "c;;{\"vectors\":{\"a\":{\"size\":4,\"distance\":\"Cosine\"},\"\":{\"size\":2,\"distance\":"
     "\"Euclid\",\"datatype\":\"float32\"}},\"sharding_method\":\"auto\",\"metadata\":{\"m\":1}}"},
    {K "Create", "1\"c\" 10{1{1=4 7{1=0}}} 16{1{1\"s\" 2{}}}",
     "c;;{\"vectors\":{\"size\":4,\"multivector_config\":{\"comparator\":\"max_sim\"}},"
     "\"sparse_vectors\":{\"s\":{}}}"},
    {K "Create", "1\"c\" 6{1d0.5 8=2 9{1=4}} 14{3{1=1 3{4=1}}}",
     "c;;{\"optimizers_config\":{\"deleted_threshold\":0.5,\"max_optimization_threads\":4},"
     "\"quantization_config\":{\"binary\":{\"always_ram\":true,\"query_encoding\":\"binary\"}}}"},
    {K "Create", "1\"c\" 10{1{1=4 2=0 6=0 8=0}}", "c;;{\"vectors\":{\"size\":4}}"},
    {K "Create", "1\"c\" 6{8=2}", "c;;{\"optimizers_config\":{\"max_optimization_threads\":2}}"},
    {K "Create", "1\"c\" 6{9{2=0}}",
     "c;;{\"optimizers_config\":{\"max_optimization_threads\":\"auto\"}}"},
    {K "Update", "1\"c\" 6{1{5=1 3=1 1{2=9}}} 7{3{}} 3=4", NULL},
    {K "Update", "1\"c\" 6{1{1{2=9} 3=1}} 7{3{}} 3=4",
     "c;timeout=4;{\"vectors\":{\"\":{\"hnsw_config\":{\"ef_construct\":9},\"on_disk\":true}},"
     "\"quantization_config\":\"Disabled\"}"},
    {K "Update", "1\"c\" 6{2{1{1\"n\" 2{3=0}}}} 7{1{1=1}} 4{1=2}",
     "c;;{\"params\":{\"replication_factor\":2},\"vectors\":{\"n\":{\"on_disk\":false}},"
     "\"quantization_config\":{\"scalar\":{\"type\":\"int8\"}}}"},
    {K "UpdateAliases", "1{1{1\"c\" 2\"a\"}} 1{2{1\"a\" 2\"b\"}} 1{3{1\"b\"}} 2=1",
     ";timeout=1;{\"actions\":[{\"create_alias\":{\"collection_name\":\"c\",\"alias_name\":\"a\"}},"
     "{\"rename_alias\":{\"old_alias_name\":\"a\",\"new_alias_name\":\"b\"}},"
     "{\"delete_alias\":{\"alias_name\":\"b\"}}]}"},
    {K "Get", "1\"c\"", "c;;"},
    {K "Delete", "1\"c\" 2=9", "c;timeout=9;"},
    {K "List", "", ";;"},

    /* our own */
    {S "Insert",
     "1\"c\" 2{1{1\"12\"} 3[1 2] 4{1\"a\" 2{3=1}}} 2{1{1\"x\"} 2\"e\" 5{1{1\"n\" 2{1[1]}}}} "
     "3\"remote\" 4=7",
     "c;durability=remote&if_lsn=7;{\"documents\":[{\"doc_id\":12,\"vector\":[\"@0\"],\"payload\":{"
     "\"a\":1}}"
     ",{\"doc_id\":\"x\",\"external_id\":\"e\",\"vectors\":{\"n\":[\"@1\"]}}]}"},
    {S "Query", "1\"c\" 2[1 2] 3=4 4{1\"p\" 2{6{1{1\"$lt\" 2{2d9}}}}} 6=1 10\"u\"",
     "c;;{\"query_vector\":[\"@0\"],\"top_k\":4,\"filter\":{\"p\":{\"$lt\":9.0}},\"exact\":true,"
     "\"using\":\"u\"}"},
    {S "Get", "1\"c\" 2\"12\"", "c/12;;"},
    {S "Delete", "1\"c\" 2{1\"007\"} 2{1\"7\"}", "c;;{\"ids\":[\"007\",7]}"},
    {S "Delete", "1\"c\" 3{1\"a\" 2{4\"b\"}}", "c;;{\"filter\":{\"a\":\"b\"}}"},
    {M "CreateCollection", "1\"n\" 2=4 3\"l2\" 5{1=8} 7=1",
     ";;{\"name\":\"n\",\"dimension\":4,\"metric\":\"l2\",\"hnsw\":{\"m\":8},\"string_ids\":true}"},
    {M "CreateCollection", "1\"n\" 8{1\"v\" 2{1=3 2\"dot\"}}",
     ";;{\"name\":\"n\",\"vectors\":{\"v\":{\"dimension\":3,\"metric\":\"dot\"}}}"},

    /* of a number the last counts, messages are joined, of a oneof the last stays */
    {P "Count", "1\"a\" 1\"c\" 3=1 3=0", "c;;{\"exact\":false}"},
    {P "Count", "1\"c\" 2{2{7{1\"a\"}}} 2{2{7{1\"b\"}}}",
     "c;;{\"filter\":{\"must\":[{\"has_vector\":\"a\"},{\"has_vector\":\"b\"}]}}"},
    {P "Get", "1\"c\" 2{1=1 2\"u\"} 2{2\"u\" 1=1} 4{1=1 2{1\"a\"}}",
     "c;;{\"ids\":[\"u\",1],\"with_payload\":{\"include\":[\"a\"]}}"},
};

static void told(const struct asked *a, struct buf *out)
{
    for (size_t i = 0; i < a->req.match.param_count; i++) {
        buf_put_text(out, i > 0 ? "/" : "");
        buf_put_slice(out, a->req.match.params[i]);
    }
    buf_put_text(out, ";");
    for (size_t i = 0; i < a->req.query_count; i++) {
        buf_put_text(out, i > 0 ? "&" : "");
        buf_put_slice(out, a->req.query[i].name);
        buf_put_text(out, "=");
        buf_put_slice(out, a->req.query[i].value);
    }
    buf_put_text(out, ";");
    buf_put_slice(out, buf_slice(&a->req.body));
    buf_put_u8(out, 0);
}

static void messages_say_what_their_routes_read(void **state)
{
    struct jdoc *doc;

    (void)state;
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(READS); i++) {
        struct buf message = wire(READS[i].message);
        struct jval root;
        struct asked a;
        struct buf out;

        buf_init(&out, BODY_MAX);
        ask(&a, READS[i].method, buf_slice(&message));
        told(&a, &out);
        if (a.fine != (READS[i].said != NULL) ||
            (a.fine && strcmp((const char *)out.data, READS[i].said) != 0))
            fail_msg("%s %s\n  said %s\n  due  %s", READS[i].method, READS[i].message,
                     a.fine ? (const char *)out.data : a.in.text, READS[i].said);
        if (a.fine && a.req.body.bytes > 0)
            assert_int_equal(jdoc_parse(doc, buf_slice(&a.req.body), &root, NULL), ST_OK);
        buf_free(&out);
        asked_free(&a);
        buf_free(&message);
    }
    jdoc_destroy(doc);
}

static const struct read_row REFUSALS[] = {
    {P "Upsert", "1\"c\" 3{4{1{}}} 99=1", "field 99 of UpsertPoints is not known"},
    {P "Upsert", "1\"c\" 3{1{}}", "none of the fields of PointId is given"},
    {P "Upsert", "1\"c\" 3{1{1=1} 4{}}", "none of the fields of Vectors is given"},
    {P "Upsert", "1\"c\" 3{1{1=1} 4{1{101{1\"abc\"}}}}", "a vector is cut short"},
    {P "Upsert", "1\"c\" 3{1{2\"\\ff\"}}", "not UTF-8"},
    {P "Upsert", "1=5", "`collection_name` is not of its type"},
    {P "Upsert", "1\"c\\00d\"", "`collection_name` is not text"},
    {P "Upsert", "1\"c\" 2\"x\"", "`wait` is not of its type"},
    {P "Upsert", "1\"c\" 8=9", "no value 9 of UpdateMode"},
    {P "Upsert", "1\"c\" 4{1=9}", "no value 9 of WriteOrdering"},
    {P "SetPayload", "1\"c\" 3{1\"a\" 2{2dnan}}", "not finite"},
    {P "SetPayload", "1\"c\" 3{1\"a\" 2{8=1}}", "field 8 of Value"},
    {P "SetPayload", "1\"c\" 3{1\"a\" 2{6{} 6{}}}", "more than one value"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 3{1dinf}}}}", "not finite"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 2{}}}}", "none of the fields of Match"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 3{1d1} 8{1{1=1}}}}}",
     "only one of `datetime_range` and `range` may be given"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 8{1{1=999999999999}}}}}", "out of range"},
    {P "Count", "1\"c\" 2{2{1{1\"k\" 8{1{2=1000000000}}}}}", "out of range"},
    {P "Count", "1\"c\" 2{2{10{}}}", "field 10 of Condition"},
    {P "Get", "1\"c\" 4{}", "none of the fields of WithPayloadSelector"},
    {P "QueryBatch", "1\"c\" 2{1\"d\"}", "not that of the whole call"},
    {P "SearchBatch", "1\"c\" 2{1\"d\"}", "not that of the whole call"},
    {P "Search", "1\"c\" 2[1] 15{}", "sparse vectors are not supported"},
    {P "CreateFieldIndex", "1\"c\" 3\"f\" 4=1 5{3{}}", "`field_type` is integer"},
    {P "CreateFieldIndex", "1\"c\" 3\"f\" 4=77", "there is no type 77"},
    {K "Get", "1\"c\" 2=1", "field 2 of GetCollectionInfoRequest"},
    {K "Create", "1\"c\" 10{1{2=9}}", "no value 9 of Distance"},
};

static void what_is_not_known_is_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(REFUSALS); i++) {
        struct buf message = wire(REFUSALS[i].message);
        struct asked a;

        ask(&a, REFUSALS[i].method, buf_slice(&message));
        if (a.fine || a.in.end != GRPC_IN_BAD || strstr(a.in.text, REFUSALS[i].said) == NULL)
            fail_msg("%s %s: %s", REFUSALS[i].method, REFUSALS[i].message,
                     a.fine ? "was taken" : a.in.text);
        asked_free(&a);
        buf_free(&message);
    }
}

/* A filter of one more level than may be, or a payload. */
static void nesting_has_an_end(void **state)
{
    struct buf text;

    (void)state;
    for (int payload = 0; payload < 2; payload++) {
        for (int levels = 10; levels < 5000; levels += 4990) {
            struct asked a;
            struct buf message;

            buf_init(&text, BODY_MAX);
            buf_put_text(&text, payload ? "1\"c\" 3{1\"a\" 2{" : "1\"c\" 2{");
            for (int i = 0; i < levels; i++)
                buf_put_text(&text, payload ? "7{1{" : "2{4{");
            for (int i = 0; i < levels; i++)
                buf_put_text(&text, "}}");
            buf_put_text(&text, payload ? "}}" : "}");
            buf_put_u8(&text, 0);
            message = wire((const char *)text.data);
            ask(&a, payload ? P "SetPayload" : P "Count", buf_slice(&message));
            assert_true(a.fine == (levels == 10));
            assert_true(a.fine || strstr(a.in.text, "more than 256 messages") != NULL);
            asked_free(&a);
            buf_free(&message);
            buf_free(&text);
        }
    }
}

/* Two bytes each, and what they become is bounded all the same. */
static void empty_messages_do_not_grow_without_bound(void **state)
{
    struct buf message;
    struct asked a;

    (void)state;
    buf_init(&message, 8 * BODY_MAX);
    buf_put_text(&message, "\x0a\x01"
                           "c\x1a");
    buf_put_varint(&message, 2 * BODY_MAX + 10);
    buf_put_text(&message, "\x0a\x01"
                           "a\x12");
    buf_put_varint(&message, 2 * BODY_MAX + 4);
    buf_put_text(&message, "\x3a");
    buf_put_varint(&message, 2 * BODY_MAX);
    for (int i = 0; i < BODY_MAX; i++)
        buf_put_text(&message, "\x0a"), buf_put_u8(&message, 0);
    buf_put_zeros(&message, 1);
    ask(&a, P "SetPayload", buf_slice(&message));
    assert_false(a.fine);
    assert_true(a.req.body.capacity <= BODY_MAX);
    asked_free(&a);
    buf_free(&message);
}

/* Very many parts: read on only while there is time, and as a whole when there is. */
static void reading_ends_when_its_time_has_come(void **state)
{
    struct clock_manual manual;
    struct buf message;
    struct asked a;

    (void)state;
    clock_manual_init(&manual, 1000, 0);
    buf_init(&message, BODY_MAX);
    buf_put_text(&message, "\x0a\x01"
                           "c");
    for (int i = 0; i < 5000; i++)
        buf_put_text(&message, "\x12\x02\x08\x01");
    ask(&a, P "Get", buf_slice(&message));
    assert_true(a.fine);
    assert_false(grpc_call_read(&a.req, &manual.clock, 999, &a.in));
    assert_int_equal(a.in.end, GRPC_IN_LATE);
    assert_true(grpc_call_read(&a.req, &manual.clock, 1000, &a.in));
    assert_int_equal(a.req.match.param_count, 1);
    asked_free(&a);
    buf_free(&message);
}

/* As by REST: of a read `timeout` is its deadline, of a write how long its client waits. */
static void the_timeout_of_a_read_ends_it(void **state)
{
    static const struct {
        const char *method, *message;
        uint64_t deadline_s;
    } rows[] = {
        {P "Query", "1\"c\" 15=2", 7},  {P "Count", "1\"c\" 6=2", 7},
        {P "Count", "1\"c\"", 35},      {P "Count", "1\"c\" 6=0", 35},
        {P "Count", "1\"c\" 6=90", 35}, {P "Upsert", "1\"c\" 7=2", 35},
        {P "Search", "1\"c\" 13=3", 8},
    };
    const uint64_t second = 1000000000;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct buf message = wire(rows[i].message);
        struct asked a;

        ask(&a, rows[i].method, buf_slice(&message));
        assert_true(a.fine);
        a.req.start_ns = 5 * second;
        a.req.deadline_ns = 35 * second;
        assert_true(grpc_call_read(&a.req, NULL, 0, &a.in));
        assert_true(a.req.deadline_ns == rows[i].deadline_s * second);
        asked_free(&a);
        buf_free(&message);
    }
}

/* Its body is made later, by the worker: what a request costs is known before. */
static void a_message_costs_what_a_body_as_long_does(void **state)
{
    static const uint8_t bytes[1 << 20];
    struct grpc_call call = {.message = slice_make(bytes, sizeof bytes)};
    const struct request by_grpc = {.grpc = &call};
    const struct request by_rest = {.body = {.bytes = sizeof bytes}};

    (void)state;
    assert_true(request_cost_ns(&by_grpc) == request_cost_ns(&by_rest));
    assert_true(request_cost_ns(&by_grpc) > EXEC_INTERACTIVE_NS);
}

/* --- answers --- */

struct print_row {
    const char *method, *json, *message;
};
#define T ",\"status\":\"ok\",\"time\":0.5}"
static const struct print_row PRINTS[] = {
    {P "Upsert", "{\"usage\":null,\"result\":{\"operation_id\":300,\"status\":\"completed\"}" T,
     "1{1=300 2=2} 2d0.5"},
    {P "Upsert", "{\"usage\":null,\"result\":{\"operation_id\":null,\"status\":\"wait_timeout\"}" T,
     "1{2=4} 2d0.5"},
    {P "UpdateBatch", "{\"result\":[{\"operation_id\":1,\"status\":\"acknowledged\"}]" T,
     "1{1=1 2=1} 2d0.5"},
    {P "Query",
     "{\"result\":{\"points\":[{\"id\":7,\"version\":3,\"score\":0.5,\"payload\":{\"a\":1},"
     "\"vector\":"
     "\"aaaaiadpaaaaaaea\"},{\"id\":\"u\",\"version\":0,\"score\":-1,\"payload\":null,\"vector\":"
     "null}]}" T,
     "1{1{1=7} 2{1\"a\" 2{3=1}} 3f0.5 5=3 6{1{101{1[1 2]}}}} 1{1{2\"u\"} 3f-1 5=0} 2d0.5"},
    {P "Query", "{\"result\":{\"points\":[]}" T, "2d0.5"},
    {P "Search",
     "{\"result\":[{\"id\":0,\"version\":1,\"score\":1.0,\"vector\":{\"n\":\"aaaaiadp\"}}]" T,
     "1{1{1=0} 3f1 5=1 6{2{1{1\"n\" 2{101{1[1]}}}}}} 2d0.5"},
    {P "QueryBatch",
     "{\"result\":[{\"points\":[{\"id\":1,\"version\":1,\"score\":1}]},{\"points\":[]}]" T,
     "1{1{1{1=1} 3f1 5=1}} 1{} 2d0.5"},
    {P "SearchBatch", "{\"result\":[[{\"id\":1,\"version\":1,\"score\":1}],[]]" T,
     "1{1{1{1=1} 3f1 5=1}} 1{} 2d0.5"},
    {P "QueryGroups",
     "{\"result\":{\"groups\":[{\"id\":\"g\",\"hits\":[{\"id\":1,\"version\":1,\"score\":1}]},"
     "{\"id\":4,\"hits\":[]},{\"id\":-4,\"hits\":[]}]}" T,
     "1{1{1{3\"g\"} 2{1{1=1} 3f1 5=1}} 1{1{1=4}} 1{1{2=-4}}} 2d0.5"},
    {P "Get",
     "{\"result\":[{\"id\":1,\"payload\":{\"n\":null,\"f\":1.5,\"b\":false,\"s\":\"x\",\"l\":[1,[]]"
     ","
     "\"o\":{\"k\":-2},\"u\":18446744073709551615},\"vector\":{}}]" T,
     "1{1{1=1} 2{1\"n\" 2{1=0}} 2{1\"f\" 2{2d1.5}} 2{1\"b\" 2{5=0}} 2{1\"s\" 2{4\"x\"}}"
     "2{1\"l\" 2{7{1{3=1} 1{7{}}}}} 2{1\"o\" 2{6{1{1\"k\" 2{3=-2}}}}} 2{1\"u\" "
     "2{2d18446744073709551615}}"
     "4{2{}}} 2d0.5"},
    {P "Scroll",
     "{\"result\":{\"points\":[{\"id\":1,\"payload\":{},\"vector\":null,\"order_value\":3},"
     "{\"id\":2,\"order_value\":2.5}],\"next_page_offset\":9}" T,
     "1{1=9} 2{1{1=1} 6{1=3}} 2{1{1=2} 6{2d2.5}} 3d0.5"},
    {P "Scroll", "{\"result\":{\"points\":[],\"next_page_offset\":null}" T, "3d0.5"},
    {P "Count", "{\"result\":{\"count\":3}" T, "1{1=3} 2d0.5"},
    {P "Facet",
     "{\"result\":{\"hits\":[{\"value\":\"a\",\"count\":2},{\"value\":-3,\"count\":1},{\"value\":"
     "true,"
     "\"count\":1}]}" T,
     "1{1{1\"a\"} 2=2} 1{1{2=-3} 2=1} 1{1{3=1} 2=1} 2d0.5"},
    {P "SearchMatrixPairs", "{\"result\":{\"pairs\":[{\"a\":1,\"b\":2,\"score\":0.5}]}" T,
     "1{1{1{1=1} 2{1=2} 3f0.5}} 2d0.5"},
    {P "SearchMatrixOffsets",
     "{\"result\":{\"offsets_row\":[0,300],\"offsets_col\":[1,0],\"scores\":[0.5,1],\"ids\":[1,2]"
     "}" T,
     "1{1(0 300) 2(1 0) 3[0.5 1] 4{1=1} 4{1=2}} 2d0.5"},
    {K "Create", "{\"result\":true" T, "1=1 2d0.5"},
    {K "Delete", "{\"result\":false" T, "1=0 2d0.5"},
    {K "CollectionExists", "{\"result\":{\"exists\":true}" T, "1{1=1} 2d0.5"},
    {K "List", "{\"result\":{\"collections\":[{\"name\":\"a\"},{\"name\":\"b\"}]}" T,
     "1{1\"a\"} 1{1\"b\"} 2d0.5"},
    {K "ListAliases",
     "{\"result\":{\"aliases\":[{\"alias_name\":\"a\",\"collection_name\":\"c\"}]}" T,
     "1{1\"a\" 2\"c\"} 2d0.5"},
    {K "Get",
     "{\"result\":{\"status\":\"green\",\"optimizer_status\":\"ok\",\"indexed_vectors_count\":1,"
     "\"points_count\":"
     "2,\"segments_count\":3,\"config\":{\"params\":{\"vectors\":{\"size\":4,\"distance\":\"Dot\"},"
     "\"shard_number\":1,\"on_disk_payload\":true},\"hnsw_config\":{\"m\":16,\"on_disk\":false},"
     "\"optimizer_config\":{\"deleted_threshold\":0.5,\"max_segment_size\":null,\"max_optimization_"
     "threads\":"
     "\"auto\"},\"wal_config\":{\"wal_capacity_mb\":32},\"quantization_config\":null,\"metadata\":{"
     "\"x\":1}},"
     "\"payload_schema\":{\"k\":{\"data_type\":\"keyword\",\"params\":{\"type\":\"keyword\",\"is_"
     "tenant\":true},"
     "\"points\":2}}}" T,
     "1{1=1 2{1=1} 4=3 7{1{3=1 4=1 5{1{1=4 2=3}}} 2{1=16 5=0} 3{1d0.5 9{2=0}} 4{1=32} 7{1\"x\" "
     "2{3=1}}}"
     "8{1\"k\" 2{1=1 2{3{1=1}} 3=2}} 9=2 10=1} 2d0.5"},
    {K "Get",
     "{\"result\":{\"optimizer_status\":{\"error\":\"e\"},\"config\":{\"params\":{\"vectors\":{"
     "\"size\":"
     "{\"size\":1,\"distance\":\"Cosine\"}}}}}" T,
     "1{2{2\"e\"} 7{1{5{2{1{1\"size\" 2{1=1 2=1}}}}}}} 2d0.5"},
    {"/qdrant.Qdrant/HealthCheck", "{\"title\":\"t\",\"version\":\"1.19.0\",\"commit\":\"x\"}",
     "1\"t\" 2\"1.19.0\" 3\"x\""},
    {S "Insert",
     "{\"inserted\":2,\"lsn\":9,\"durability\":\"local\",\"latency_ms\":0.5,\"doc_ids\":[7,\"u\"]}",
     "1=2 2=9 3\"local\" 4d0.5 5{1\"7\"} 5{1\"u\"}"},
    {S "Query",
     "{\"matches\":[{\"doc_id\":7,\"external_id\":null,\"distance\":0.5,\"score\":0.25,\"payload\":"
     "{\"a\":1},"
     "\"vector\":[1,2],\"vectors\":{\"n\":[0.5]}}],\"latency_ms\":1.5}",
     "1{1{1\"7\"} 3f0.5 4f0.25 5{1\"a\" 2{3=1}} 6[1 2] 7{1{1\"n\" 2{1[0.5]}}}} 2d1.5"},
    {S "Get",
     "{\"document\":{\"doc_id\":\"u\",\"vector\":null,\"payload\":{},\"inserted_at\":\"t\",\"lsn\":"
     "3}}",
     "1{1{1\"u\"} 5\"t\" 6=3}"},
};

static void answers_are_the_messages_clients_read(void **state)
{
    struct jdoc *doc;

    (void)state;
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    for (size_t i = 0; i < COUNT_OF(PRINTS); i++) {
        const struct grpc_method *m = grpc_method_find(slice_text(PRINTS[i].method));
        struct buf due = wire(PRINTS[i].message);
        struct jval root;
        struct buf out;

        buf_init(&out, BODY_MAX);
        assert_int_equal(jdoc_parse(doc, slice_text(PRINTS[i].json), &root, NULL), ST_OK);
        grpc_call_print((const struct grpc_route_call *)m, root, &out);
        if (!slice_equal(buf_slice(&out), buf_slice(&due))) {
            for (size_t b = 0; b < out.bytes; b++)
                print_message("%02x ", out.data[b]);
            print_message("\n");
            for (size_t b = 0; b < due.bytes; b++)
                print_message("%02x ", due.data[b]);
            fail_msg("%s %s", PRINTS[i].method, PRINTS[i].json);
        }
        buf_free(&out);
        buf_free(&due);
    }
    jdoc_destroy(doc);
}

static void every_method_has_a_route(void **state)
{
    size_t count = 0;

    (void)state;
    for (const struct grpc_method *m; (m = grpc_method_at(count)) != NULL; count++) {
        const struct grpc_route_call *call = (const struct grpc_route_call *)m;

        assert_ptr_equal(grpc_method_find(slice_text(m->path)), m);
        assert_non_null(grpc_route_of(call));
        assert_true(m->kind == ROUTE_PROBE || grpc_route_of(call)->kind == m->kind);
        for (size_t i = 0; i < COUNT_OF(call->path) && call->path[i] != NULL; i++)
            assert_non_null(grpc_field(call->request, call->path[i]));
    }
    assert_true(count > 30);
    assert_null(grpc_method_find(slice_text("/qdrant.Points/Nothing")));
}

/* --- damage --- */

static void check_damaged(const char *method, const uint8_t *data, size_t bytes)
{
    uint8_t *copy = mem_alloc(bytes + 1);
    struct asked a;

    memcpy(copy, data, bytes);
    ask(&a, method, slice_make(copy, bytes));
    assert_true(a.fine || a.in.text[0] != '\0');
    asked_free(&a);
    mem_free(copy);
}

static void damaged_messages_are_read_to_an_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(READS); i++) {
        struct buf message = wire(READS[i].message);

        for (size_t cut = 0; cut < message.bytes; cut++)
            check_damaged(READS[i].method, message.data, cut);
        for (size_t bit = 0; bit < 8 * message.bytes; bit++) {
            message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
            check_damaged(READS[i].method, message.data, message.bytes);
            message.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
        buf_free(&message);
    }
}

static status read_one(void *arg)
{
    const struct read_row *row = arg;
    struct buf message;
    struct asked a;
    status st;

    buf_init(&message, BODY_MAX);
    (void)wire_text_fields(row->message, &message);
    if (message.failed) {
        buf_free(&message);
        return ST_NOMEM;
    }
    ask(&a, row->method, buf_slice(&message));
    st = a.fine ? ST_OK : a.in.end == GRPC_IN_NO_MEMORY || a.in.out->failed ? ST_NOMEM : ST_INVALID;
    asked_free(&a);
    buf_free(&message);
    return st;
}

static void allocations_fail_one_by_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(READS); i++)
        if (READS[i].said != NULL)
            (void)alloc_sweep(read_one, (void *)(uintptr_t)&READS[i]);
}

/* Bits and all. */
static void vectors_come_through_as_they_are(void **state)
{
    static const float v[] = {0.1f, -0.0f, 1e-45f, 3.4028235e38f};
    struct grpc_out o;
    struct buf json;
    struct buf out;
    struct jval root;
    struct jdoc *doc;

    (void)state;
    assert_int_equal(jdoc_create(&doc, NULL), ST_OK);
    buf_init(&json, BODY_MAX);
    buf_init(&out, BODY_MAX);
    grpc_put_floats(&json, v, COUNT_OF(v));
    assert_int_equal(jdoc_parse(doc, buf_slice(&json), &root, NULL), ST_OK);
    o.out = &out;
    grpc_out_vector(&o, 1, root);
    assert_int_equal(out.bytes, 2 + sizeof v);
    assert_memory_equal(out.data + 2, v, sizeof v);
    buf_free(&json);
    buf_free(&out);
    jdoc_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_say_what_their_routes_read),
        cmocka_unit_test(what_is_not_known_is_refused_by_name),
        cmocka_unit_test(nesting_has_an_end),
        cmocka_unit_test(empty_messages_do_not_grow_without_bound),
        cmocka_unit_test(reading_ends_when_its_time_has_come),
        cmocka_unit_test(the_timeout_of_a_read_ends_it),
        cmocka_unit_test(a_message_costs_what_a_body_as_long_does),
        cmocka_unit_test(answers_are_the_messages_clients_read),
        cmocka_unit_test(every_method_has_a_route),
        cmocka_unit_test(damaged_messages_are_read_to_an_end),
        cmocka_unit_test(allocations_fail_one_by_one),
        cmocka_unit_test(vectors_come_through_as_they_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
