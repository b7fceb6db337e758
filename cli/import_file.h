/* import_file.h - what the two ways of a file into a collection share: batches by insert, and the
 * rest of the file in one stream.
 *
 * The first batch always goes by insert: it makes the collection and shows what kind of file it is.
 * What stands behind it is streamed; where that ends early, for whatever reason, the rows behind
 * the acknowledged ones go by insert again, which names what is wrong, waits, and gives the exit
 * code. */
#ifndef CLI_IMPORT_FILE_H
#define CLI_IMPORT_FILE_H

#include "cli/bulk_file.h"
#include "cli/import.h"

struct import_command {
    struct import in;
    const char *format, *first_id, *dimension, *batch_rows, *batch_bytes;
    FILE *file;
    struct bulk_reader reader;
    struct bulk_field *field; /* of rows that are vectors alone */
    bool streams;             /* what is behind the next batch may go in one stream */
};

/* Whether the file is one that can be sent so: read again from anywhere, its vectors are those that
 * need no name. */
bool import_may_stream(const struct import_command *c);
/* All behind the state's position; the state says how far it came. A code. */
int import_stream(struct import_command *c, bool *all);

#endif
