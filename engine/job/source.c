/* Text that lives as long as the plan. */
#include "engine/job/source.h"

char *mr_source_copy(struct mr_source *source, struct mr_slice text) {
    char *copy = mr_arena_take(source->memory, text.length + 1);
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    copy[text.length] = '\0';
    return copy;
}

char *mr_source_format(struct mr_source *source, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return mr_source_copy(source, mr_slice_of(text));
}
