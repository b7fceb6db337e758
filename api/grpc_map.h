/* grpc_map.h - between protobuf messages and the JSON that routes read and print.
 *
 * Driven by the descriptors protoc-c makes of proto/: a message is an object whose members are its
 * present fields, a repeated field a list, a map an object, an enum the text of REST. What differs
 * from that stands in the tables of shapes (grpc_shapes.c): other names, messages that are the
 * value of their only field, and functions for the few that are neither.
 *
 * The bytes of a message are walked as they lie; no tree of structs is made of them, so that a
 * small message cannot become a large one in memory. Fields may come in any order and in pieces, as
 * the format says: of a number the last counts, messages are joined, of a oneof the last stays. A
 * field that is not in proto/ is refused by its number.
 *
 * Threads    any; tables are constant.
 * Ownership  what is made lives in the arena and the buf; floats borrow from the message.
 * Limits     GRPC_DEPTH_MAX messages within one another, and bytes_max of the buf. */
#ifndef API_GRPC_MAP_H
#define API_GRPC_MAP_H

#include "api/grpc.h"
#include "api/grpc_wire.h"

#include <protobuf-c/protobuf-c.h>

enum { GRPC_DEPTH_MAX = 256, GRPC_FIELDS_MAX = 32 };

typedef const ProtobufCMessageDescriptor *message_type;
typedef const ProtobufCFieldDescriptor *field_type;

/* --- shapes: how a message lies in JSON --- */

enum shape_kind {
    SHAPE_OBJECT, /* as said above */
    SHAPE_SOLE,   /* the value of its only field, or of the one of its oneof that is there */
    SHAPE_TEXT,   /* always this JSON; its fields are not looked at */
    SHAPE_OWN,    /* a function of its own */
};
enum field_how {
    FIELD_INLINE = 1, /* the members of the message stand among those around it */
    FIELD_LEFT_OUT = 2,
    FIELD_ALWAYS = 4,  /* a list or map that is there even when it is empty */
    FIELD_YIELDS = 8,  /* left out when another field has the same name in JSON */
    FIELD_NAMED = 16,  /* of SHAPE_SOLE: an object of this one member after all */
    FIELD_FLOATS = 32, /* a vector: its numbers stay binary (grpc.h) */
    FIELD_SAME = 64,   /* has to be the collection of the whole call, or nothing */
};

struct grpc_in;
struct grpc_out;
struct field_shape {
    const char *name; /* of the field */
    const char *as;   /* its name in JSON, or NULL: the same */
    unsigned how;
};
struct shape {
    message_type type;
    enum shape_kind kind;
    const char *text; /* SHAPE_TEXT */
    bool (*read)(struct grpc_in *in, message_type type, struct slice message);
    void (*print)(struct grpc_out *o, message_type type, struct jval v);
    struct field_shape fields[5]; /* name NULL ends them */
};
const struct shape *grpc_shape(message_type type); /* NULL: a plain object */
const struct field_shape *grpc_field_shape(const struct shape *shape, const char *name);
/* What REST calls a value of an enum. NULL: there is no such value; "": it counts as absent. */
const char *grpc_enum_text(const ProtobufCEnumDescriptor *type, uint64_t value);
/* false: none is called so */
bool grpc_enum_value(const ProtobufCEnumDescriptor *type, struct slice text, uint32_t *out);
bool grpc_is_map(field_type field);

/* --- a message into JSON --- */

enum grpc_in_end { GRPC_IN_BAD, GRPC_IN_NO_MEMORY, GRPC_IN_LATE };
struct grpc_in {
    struct clock *clock; /* NULL: there is no end of the time it may take */
    uint64_t until_ns;
    uint32_t steps;
    bool late; /* nothing more is read */
    struct arena *arena;
    struct buf *out;
    struct grpc_floats *floats;
    size_t float_count, float_capacity;
    struct slice collection; /* of the whole call */
    unsigned depth;
    enum grpc_in_end end; /* why it failed */
    char text[ERR_TEXT_BYTES];
};
bool grpc_in_bad(struct grpc_in *in, const char *format, ...) PRINTF_LIKE(2, 3); /* false */
bool grpc_in_no_memory(struct grpc_in *in);                                      /* false */
/* wire_next() for as long as there is time; behind it every message seems to end. */
bool grpc_in_next(struct grpc_in *in, struct rd *r, struct wire_field *out);
/* The value of a message. */
bool grpc_in_value(struct grpc_in *in, message_type type, struct slice message);
/* Its members alone, each with a comma in front unless *first; those named in `skip` (NULL at the
 * end) are not looked at. */
bool grpc_in_members(struct grpc_in *in, message_type type, struct slice message,
                     const char *const *skip, bool *first);
/* The last occurrence of a field; false when there is none, or after grpc_in_bad(). */
bool grpc_in_find(struct grpc_in *in, message_type type, struct slice message, const char *name,
                  struct wire_field *out);
bool grpc_in_string(struct grpc_in *in, struct slice text); /* checked and printed */
/* A vector that stays binary: `["@7"]`. */
bool grpc_in_floats(struct grpc_in *in, const void *at, size_t bytes);
/* The same of a repeated float field, packed or not. */
bool grpc_in_float_field(struct grpc_in *in, struct slice message, uint32_t number);

/* --- JSON into a message --- */

struct grpc_out {
    struct buf *out;
};
/* The content of a message, without a length in front. */
void grpc_out_message(struct grpc_out *o, message_type type, struct jval v);
/* One field of a value that is not null; `other` names it. */
void grpc_out_field(struct grpc_out *o, message_type type, const char *name, struct jval v);
/* A vector as grpc_put_floats() printed it, packed. */
void grpc_out_vector(struct grpc_out *o, uint32_t number, struct jval v);
/* The field of a message of `type` called so; one that is not there is a mistake of a table. */
field_type grpc_field(message_type type, const char *name);

#endif
