/* What the codecs share: the rules for keys and for texts inside a reason. */
#ifndef OPERATORS_CODECS_H
#define OPERATORS_CODECS_H

#include <millrace/codec.h>

static inline bool mr_has_control(struct mr_slice text) {
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte == 0x7F) {
            return true;
        }
    }
    return false;
}

/* How many bytes of a text are shown in a reason: at most 64, no character cut in two. */
static inline int mr_shown(struct mr_slice text) {
    size_t n = text.length < 64 ? text.length : 64;
    while (n < text.length && n > 0 && ((unsigned char)text.data[n] & 0xC0) == 0x80) {
        n--;
    }
    return (int)n;
}

#endif
