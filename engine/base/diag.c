/* Diagnostics: lines on standard error for the person who runs the program.
 *
 * A line is formatted as a whole and written by one call, so lines of several threads do not mix.
 * Texts from outside (keys, topic names) may be in it: control characters are replaced, so that
 * a record cannot drive the terminal of its reader. */
#include "engine/base/base.h"

#include <unistd.h>

#define DIAG_LINE_MAX 2048

__attribute__((format(printf, 2, 0))) static void write_line(const char *prefix, const char *format,
                                                             va_list list) {
    char line[DIAG_LINE_MAX];
    int head = snprintf(line, sizeof line, "%s", prefix);
    int body = vsnprintf(line + head, sizeof line - (size_t)head - 1, format, list);
    size_t length = strlen(line);
    if (body < 0) {
        return;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            line[i] = '?';
        }
    }
    line[length++] = '\n';
    /* Where standard error is gone there is nobody left to tell. */
    ssize_t written = write(STDERR_FILENO, line, length);
    (void)written;
}

void mr_note(const char *format, ...) {
    va_list list;
    va_start(list, format);
    write_line("millrace: ", format, list);
    va_end(list);
}

void mr_warn(const char *format, ...) {
    va_list list;
    va_start(list, format);
    write_line("millrace: warning: ", format, list);
    va_end(list);
}
