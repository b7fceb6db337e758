/* catalog.h - what a node or bucket holds: collections, names, aliases, tenants, databases, dropped
 * ids.
 *
 * The same encoding is the file <data_dir>/catalog (written whole) and, for bucket-backed
 * collections, the object meta/catalog (CAS; fresh nonce). This is the value and its bytes; who may
 * change it and when is node/'s.
 *
 * The id of sixteen zeros is the default tenant and the default database: they need no entry.
 *
 * Threads    a value: none of it is shared while it changes.
 * Ownership  catalog_init / _free own every text inside; added entries are copied.
 * On disk    docs/formats/catalog.md, version 2. At most CATALOG_BYTES_MAX. */
#ifndef SEGMENT_CATALOG_H
#define SEGMENT_CATALOG_H

#include "base/bytes.h"

enum {
    CATALOG_BYTES_MAX = 16 * 1024 * 1024,
    CATALOG_NAME_BYTES_MAX = 255,
    CATALOG_COLLECTIONS_MAX = 10000,
    CATALOG_FIELDS_MAX = 64,
    CATALOG_DROPPED_MAX = 32768, /* the oldest are forgotten */
    CATALOG_SETTINGS_MAX = 512,  /* of a collection */
    CATALOG_SETTING_KEY_BYTES_MAX = 1280,
    CATALOG_SETTING_BYTES_MAX = 65536,
};
enum catalog_policy { POLICY_MEMORY = 1, POLICY_MEMORY_S3 = 2, POLICY_S3_ONLY = 3 }; /* on disk */
/* What a field's graph is walked on; on disk. What all had before there was a choice is 8; the rest
 * of 1 to 8 is nobody's yet, and is served as that. */
enum catalog_quantization {
    QUANTIZATION_NONE = 1,
    QUANTIZATION_BINARY = 2,
    QUANTIZATION_PRODUCT = 3,
    QUANTIZATION_SCALAR = 8,
};
enum catalog_durability { DURABILITY_LOCAL = 1, DURABILITY_REMOTE = 2 }; /* on disk */

struct catalog_field { /* one vector field */
    uint16_t id;       /* 0 is the unnamed one; never reused */
    char *name;        /* "" for the unnamed one */
    uint32_t dim;
    uint8_t metric; /* enum vmetric */
    uint16_t m, ef_construction, ef_search;
    uint32_t threshold;
    uint8_t quantization; /* enum catalog_quantization */
};
struct catalog_setting { /* a text the doors keep with a collection; bytes here */
    char *key;
    uint8_t *value;
    uint32_t bytes;
};
struct catalog_collection {
    uint8_t id[16];
    uint8_t database_id[16];
    char *name;
    uint8_t policy;
    uint8_t durability;
    bool string_ids;
    uint64_t created_at_ns;
    struct catalog_field *fields;
    size_t field_count;               /* 0: payloads only */
    struct catalog_setting *settings; /* keys rise */
    size_t setting_count;
};
struct catalog_alias {
    char *name;
    uint8_t database_id[16];
    uint8_t collection_id[16];
};
struct catalog_database {
    uint8_t id[16];
    uint8_t tenant_id[16];
    char *name;
};
struct catalog_tenant {
    uint8_t id[16];
    char *name;
};
struct catalog_dropped {
    uint8_t id[16];
    uint64_t dropped_at_ns;
};
struct catalog {
    uint64_t revision;
    uint8_t nonce[16];
    struct catalog_tenant *tenants;
    size_t tenant_count;
    struct catalog_database *databases;
    size_t database_count;
    struct catalog_collection *collections;
    size_t collection_count;
    struct catalog_alias *aliases;
    size_t alias_count;
    struct catalog_dropped *dropped;
    size_t dropped_count;
};

void catalog_init(struct catalog *c);
void catalog_free(struct catalog *c);
/* Deep copy: a change is made on a copy, written, and then swapped in. */
NODISCARD
status catalog_copy(const struct catalog *from, struct catalog *out, struct err *err);
/* One collection by itself. _free is fine on a zeroed one. */
NODISCARD
status catalog_collection_copy(const struct catalog_collection *from,
                               struct catalog_collection *out, struct err *err);
void catalog_collection_free(struct catalog_collection *c);
/* Settings. NULL: there is none with the key. */
const struct catalog_setting *catalog_find_setting(const struct catalog_collection *c,
                                                   const char *key);
/* An empty value takes the key out. ST_INVALID a key or value out of range, or too many; ST_NOMEM;
 * nothing changed then. */
NODISCARD
status catalog_put_setting(struct catalog_collection *c, const char *key, struct slice value,
                           struct err *err);
/* All of `from` in the place of to's. */
NODISCARD
status catalog_settings_copy(const struct catalog_collection *from, struct catalog_collection *to,
                             struct err *err);
bool catalog_settings_equal(const struct catalog_collection *a, const struct catalog_collection *b);
void catalog_settings_free(struct catalog_collection *c);
/* Appends. ST_INVALID: it does not hold together (the page's rules); ST_NOSPACE: over
 * CATALOG_BYTES_MAX or the buf's bound. */
NODISCARD
status catalog_encode(const struct catalog *c, struct buf *out, struct err *err);
/* ST_CORRUPT, ST_UNSUPPORTED (a newer version), ST_NOMEM. out needs no init. */
NODISCARD
status catalog_decode(struct slice bytes, struct catalog *out, struct err *err);
/* Names share one space with aliases within a database. */
struct catalog_collection *catalog_find_name(const struct catalog *c, const uint8_t database_id[16],
                                             const char *name); /* aliases too */
struct catalog_collection *catalog_find_id(const struct catalog *c, const uint8_t id[16]);
/* Adding and renaming: ST_INVALID a bad name or value, or too many; ST_EXISTS the name or id is
 * taken (ids of dropped collections are), ST_NOT_FOUND what it belongs to, ST_NOMEM. On failure
 * nothing changed. */
NODISCARD
status catalog_add_collection(struct catalog *c, const struct catalog_collection *collection,
                              struct err *err);
/* Its aliases go with it. */
NODISCARD
status catalog_remove_collection(struct catalog *c, const uint8_t id[16], uint64_t dropped_at_ns,
                                 struct err *err);
NODISCARD
status catalog_rename_collection(struct catalog *c, const uint8_t id[16], const char *name,
                                 struct err *err);
NODISCARD
status catalog_add_tenant(struct catalog *c, const uint8_t id[16], const char *name,
                          struct err *err);
NODISCARD
status catalog_add_database(struct catalog *c, const uint8_t id[16], const uint8_t tenant_id[16],
                            const char *name, struct err *err);
/* Adds an alias, or makes one lead elsewhere: to a collection of its own database. ST_EXISTS: a
 * collection has the name. To rename one, set the new name and remove the old, on one copy. */
NODISCARD
status catalog_set_alias(struct catalog *c, const uint8_t database_id[16], const char *name,
                         const uint8_t collection_id[16], struct err *err);
NODISCARD
status catalog_remove_alias(struct catalog *c, const uint8_t database_id[16], const char *name,
                            struct err *err);
/* ST_CONFLICT while a collection is in it (a database is); ST_INVALID the default. Their ids are
 * not remembered. */
NODISCARD
status catalog_remove_database(struct catalog *c, const uint8_t id[16], struct err *err);
NODISCARD
status catalog_remove_tenant(struct catalog *c, const uint8_t id[16], struct err *err);
/* ST_INVALID with a reason: 1 to 255 bytes of UTF-8, none of < > : " / \ | ? * and control
 * characters. */
NODISCARD
status catalog_name_check(const char *name, size_t bytes, struct err *err);

#endif
