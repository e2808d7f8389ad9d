/* Variables: what the environment and secret files put into a job file.
 *
 *   ${V}            the variable; an error when it is not set
 *   ${V:-default}   the default when it is not set or empty
 *   ${V:?message}   an error with this message when it is not set or empty
 *   ${file:/path}   the file's text, without the line end that closes it
 *   $$              a dollar sign
 *
 * Only values are expanded, and only after YAML has cut the file into values: what a variable
 * holds can never become a key or another line. Faults say the name, never the value. */
#include "engine/job/source.h"
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX   65536
#define EXPANDED_MAX ((size_t)1 << 20) /* of one job file, all values together */

struct expansion {
    struct mr_source *source;
    struct mr_node *scalar;
    struct mr_buffer out;
    bool bad;
};

static void refuse(struct expansion *e, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void refuse(struct expansion *e, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    mr_fault_add_list(e->source, MR_ERROR, e->scalar->place, NULL, format, arguments);
    va_end(arguments);
    e->bad = true;
}

static void remember(struct expansion *e, const char *name) {
    if (!e->scalar->variable) {
        e->scalar->variable = name;
    }
}

/* Only a regular file of a sane size: never waits for a pipe or a terminal. */
static void add_file(struct expansion *e, const char *path) {
    int file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0 || !S_ISREG(about.st_mode)) {
        refuse(e, "`%s` cannot be read as a file", path);
    } else {
        char *text = mr_allocate(SECRET_MAX + 1);
        ssize_t length = read(file, text, SECRET_MAX + 1);
        if (length < 0 || length > SECRET_MAX) {
            refuse(e, "`%s` is longer than 64 KiB or cannot be read", path);
        } else {
            length -= length > 0 && text[length - 1] == '\n';
            mr_buffer_add(&e->out, text, (size_t)length);
        }
        free(text);
    }
    if (file >= 0) {
        close(file);
    }
}

static bool is_name(const char *name) {
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return length > 0 && name[length] == '\0' && (name[0] < '0' || name[0] > '9');
}

/* What stands between ${ and }. */
static void add_variable(struct expansion *e, char *inside) {
    if (strncmp(inside, "file:", 5) == 0) {
        remember(e, inside);
        add_file(e, inside + 5);
        return;
    }
    char *operator= strchr(inside, ':');
    char verb = operator? operator[1] : '\0';
    if (operator) {
        *operator= '\0';
    }
    if (!is_name(inside) || (operator&& verb != '-' && verb != '?')) {
        refuse(e, "write ${NAME}, ${NAME:-default}, ${NAME:?message}, ${file:/path} or, for a "
                  "dollar sign, $$");
        return;
    }
    remember(e, inside);
    const char *value = getenv(inside);
    if (value && (*value || !operator)) {
        mr_buffer_text(&e->out, value);
    } else if (verb == '-') {
        mr_buffer_text(&e->out, operator+ 2);
    } else if (verb == '?' && operator[2]) {
        refuse(e, "the environment variable `%s` is not set: %s", inside, operator+ 2);
    } else {
        refuse(e, "the environment variable `%s` is not set; `${%s:-default}` gives a default",
               inside, inside);
    }
}

static const char *expand_one(struct expansion *e, const char *at) {
    if (at[1] == '$') {
        mr_buffer_text(&e->out, "$");
        return at + 2;
    }
    const char *end = at[1] == '{' ? strchr(at, '}') : NULL;
    if (!end) {
        refuse(e, at[1] == '{' ? "`${` without its `}`" : "write `$$` for a dollar sign");
        return at + strlen(at);
    }
    struct mr_slice inside = {at + 2, (size_t)(end - at - 2)};
    add_variable(e, mr_source_copy(e->source, inside));
    return end + 1;
}

static bool is_clean(struct mr_slice text) {
    for (size_t i = 0; i < text.length; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F) {
            return false;
        }
    }
    return mr_valid_utf8(text);
}

void mr_variables_expand(struct mr_source *source, struct mr_node *scalar) {
    if (!strchr(scalar->text, '$')) {
        return;
    }
    struct expansion e = {.source = source, .scalar = scalar};
    for (const char *at = scalar->text; *at && !e.bad;) {
        size_t plain = strcspn(at, "$");
        mr_buffer_add(&e.out, at, plain);
        at += plain;
        if (*at) {
            at = expand_one(&e, at);
        }
        if (source->expanded + e.out.length > EXPANDED_MAX) {
            refuse(&e, "the values of a job file are at most 1 MiB, with what variables give");
        }
    }
    struct mr_slice text = mr_buffer_slice(&e.out);
    source->expanded += text.length;
    if (!e.bad && !is_clean(text)) {
        refuse(&e, "the value of `%s` is not plain UTF-8 text", scalar->variable);
    }
    scalar->broken = e.bad;
    scalar->text = e.bad ? "" : mr_source_copy(source, text);
    mr_buffer_finish(&e.out);
}
