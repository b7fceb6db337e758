/* export.h - what the parts of `tiervec export` share. */
#ifndef CLI_EXPORT_H
#define CLI_EXPORT_H

#include "cli/bulk_file.h"
#include "cli/bulk_run.h"

#include "base/fs.h"

struct export_command {
    struct bulk_run run;
    const char *filter, *format_name, *path;
    const char *named;        /* --vector */
    struct bulk_field *field; /* of .npy and .fvecs */
    enum bulk_format format;
    char part[FS_PATH_BYTES];
    FILE *file;
    uint32_t page_rows;
    struct buf out;
};

int export_cannot_write(struct export_command *c, const char *why);
/* c->out to the file, which then holds it on disk if there is a state, and the state as it is now.
 * A code. */
int export_write(struct export_command *c);
/* All lines behind the state's cursor into the file that is open. A code. */
int export_lines(struct export_command *c);

#endif
