/* Where doors keep the files they make of collections. */
#include "node/node_internal.h"

status node_exports_root(const struct node *node, struct fs **fs, char out[FS_PATH_BYTES],
                         struct err *err)
{
    *fs = node->options.fs;
    return fs_join(out, node->data_dir, "exports", err);
}

void exports_move(const struct collection *from, const struct collection *to)
{
    char old[FS_PATH_BYTES];
    char fresh[FS_PATH_BYTES];
    struct err err = {0};
    struct fs *fs;
    struct fs_stat found;
    status st = node_exports_dir(from, &fs, old, &err);

    if (st == ST_OK)
        st = node_exports_dir(to, &fs, fresh, &err);
    if (st != ST_OK || fs_stat(fs, old, &found, NULL) != ST_OK)
        return;
    st = fs_rename(fs, old, fresh, &err);
    if (st != ST_OK)
        log_warn("files made of a collection go with it, not to the one in its place",
                 "collection_id=%s err=%s", from->id_text, err.text);
}
