/* descriptors.h - the files of api/proto as protoc describes them, a FileDescriptorSet, as it is in
 * the program. */
#ifndef API_DESCRIPTORS_H
#define API_DESCRIPTORS_H

#include <stddef.h>
#include <stdint.h>

extern const uint8_t DESCRIPTORS[];
extern const size_t DESCRIPTORS_BYTES;

#endif
