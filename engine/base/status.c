/* The sentence that goes with a bad outcome. */
#include <millrace/status.h>

#include <stdarg.h>
#include <stdio.h>

enum mr_status mr_error_set(struct mr_error *err, enum mr_status status, const char *format, ...) {
    if (err) {
        char text[sizeof err->text]; /* an argument may be the old sentence */
        va_list list;
        va_start(list, format);
        vsnprintf(text, sizeof text, format, list);
        va_end(list);
        snprintf(err->text, sizeof err->text, "%s", text);
    }
    return status;
}
