/* Prints what is generated from the table of keys: `config_gen example`, `config_gen reference`. */
#include "config/config.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct buf out;
    status st = ST_INVALID;
    bool written = false;

    buf_init(&out, 1 << 20);
    if (argc == 2 && strcmp(argv[1], "example") == 0)
        st = config_print_example(&out, NULL);
    else if (argc == 2 && strcmp(argv[1], "reference") == 0)
        st = config_print_reference(&out, NULL);
    else
        (void)fprintf(stderr, "usage: config_gen example|reference\n");
    if (st == ST_OK)
        written = fwrite(out.data, 1, out.bytes, stdout) == out.bytes && fflush(stdout) == 0;
    buf_free(&out);
    return written ? 0 : 2;
}
