/* objkey.h - the one place that builds and parses the names of objects in the bucket.
 *
 * Names are relative to the configured prefix. Every data name carries an epoch or a random id, so
 * no name is used twice; none depends on a clock. Numbers are 16 lower-case hex digits, so that the
 * order of names is the order of numbers; ids are UUID text. h2 is two hex digits of a hash of the
 * collection's id, so that load spreads over the store's partitions.
 *
 *   meta/format   meta/catalog
 *   c/<h2>/<id>/root
 *   c/<h2>/<id>/w/<epoch>/<seq>            log groups
 *   c/<h2>/<id>/m/<revision>-<uuid>        manifests
 *   c/<h2>/<id>/g/<uuid>                   segments and graph images
 *   c/<h2>/<id>/pin/<uuid>                 what garbage collection must keep
 *   c/<h2>/<id>/orphan/<epoch>/<session uuid>/<first lsn>
 *   meta/pinned                            the one node that may write a store without conditions
 *   probe/<prober>/...                     what a probe of the store tries itself on
 *
 * Threads    pure. On disk: docs/formats/object-keys.md, version 1. */
#ifndef SEGMENT_OBJKEY_H
#define SEGMENT_OBJKEY_H

#include "base/bytes.h"

enum { OBJKEY_BYTES = 160 }; /* of every name, with the NUL */

#define OBJKEY_FORMAT  "meta/format"
#define OBJKEY_CATALOG "meta/catalog"
#define OBJKEY_PINNED  "meta/pinned"
#define OBJKEY_PROBES  "probe/"

void objkey_root(const uint8_t collection[16], char out[OBJKEY_BYTES]);
void objkey_group(const uint8_t collection[16], uint64_t epoch, uint64_t seq,
                  char out[OBJKEY_BYTES]);
void objkey_manifest(const uint8_t collection[16], uint64_t revision, const uint8_t uuid[16],
                     char out[OBJKEY_BYTES]);
void objkey_data(const uint8_t collection[16], const uint8_t uuid[16], char out[OBJKEY_BYTES]);
void objkey_pin(const uint8_t collection[16], const uint8_t uuid[16], char out[OBJKEY_BYTES]);
void objkey_orphan(const uint8_t collection[16], uint64_t epoch, const uint8_t session[16],
                   uint64_t first_lsn, char out[OBJKEY_BYTES]);
/* Prefixes for listings, each with its last '/': of a collection, of its groups of one epoch, of
 * its pins, of its manifests. */
void objkey_prefix_collection(const uint8_t collection[16], char out[OBJKEY_BYTES]);
void objkey_prefix_groups(const uint8_t collection[16], uint64_t epoch, char out[OBJKEY_BYTES]);
void objkey_prefix_pins(const uint8_t collection[16], char out[OBJKEY_BYTES]);
void objkey_prefix_manifests(const uint8_t collection[16], char out[OBJKEY_BYTES]);

/* Of one prober's own objects: its name, with what keys may not have as '_', cut to 100 bytes. */
void objkey_prefix_probe(const char *prober, char out[OBJKEY_BYTES]);

enum objkey_kind {
    OBJKEY_OTHER = 0, /* none of ours */
    OBJKEY_IS_FORMAT,
    OBJKEY_IS_CATALOG,
    OBJKEY_IS_ROOT,
    OBJKEY_IS_GROUP,
    OBJKEY_IS_MANIFEST,
    OBJKEY_IS_DATA,
    OBJKEY_IS_PIN,
    OBJKEY_IS_ORPHAN,
    OBJKEY_IS_PINNED,
    OBJKEY_IS_PROBE, /* whatever lies under probe/ */
};
struct objkey {
    enum objkey_kind kind;
    uint8_t collection[16];
    uint64_t epoch;    /* group, orphan */
    uint64_t seq;      /* group */
    uint64_t revision; /* manifest */
    uint64_t lsn;      /* orphan: its first */
    uint8_t uuid[16];  /* manifest, data, pin; orphan: the session */
};
/* What objkey_*() makes parses back to what it was made of; everything else is OBJKEY_OTHER. */
struct objkey objkey_parse(const char *key);

#endif
