/* What the files of the cases share about text. */
#include "engine/cli/case.h"

static bool take_digits(struct mr_slice *text, size_t least, size_t most, int64_t *x) {
    size_t count = 0;
    *x = 0;
    while (count < most && count < text->length && text->data[count] >= '0' &&
           text->data[count] <= '9') {
        *x = 10 * *x + (text->data[count++] - '0');
    }
    text->data += count;
    text->length -= count;
    return count >= least;
}

static bool take_byte(struct mr_slice *text, char byte) {
    if (text->length == 0 || *text->data != byte) {
        return false;
    }
    text->data++;
    text->length--;
    return true;
}

bool mr_case_parse_time(struct mr_slice text, int64_t *ns) {
    int64_t hours, minutes, seconds, fraction = 0;
    if (!take_digits(&text, 2, 3, &hours) || !take_byte(&text, ':') ||
        !take_digits(&text, 2, 2, &minutes) || !take_byte(&text, ':') ||
        !take_digits(&text, 2, 2, &seconds) || minutes > 59 || seconds > 59) {
        return false;
    }
    if (take_byte(&text, '.')) {
        size_t digits = text.length;
        if (!take_digits(&text, 1, 9, &fraction)) {
            return false;
        }
        for (digits -= text.length; digits < 9; digits++) {
            fraction *= 10;
        }
    }
    *ns = ((hours * 60 + minutes) * 60 + seconds) * MR_SECOND + fraction;
    return text.length == 0;
}

size_t mr_case_json_length(struct mr_slice text) {
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        if (quoted && byte == '\\') {
            i++;
        } else if (byte == '"') {
            quoted = !quoted;
        } else if (!quoted && (byte == '{' || byte == '[')) {
            depth++;
        } else if (!quoted && (byte == '}' || byte == ']')) {
            depth -= depth > 0;
        }
        if (!quoted && depth == 0) {
            return i < text.length ? i + 1 : text.length;
        }
    }
    return text.length;
}

char *mr_case_beside(const char *path, struct mr_slice name) {
    struct mr_buffer out = {0};
    const char *slash = strrchr(path, '/');
    if (slash && name.length > 0 && name.data[0] != '/') {
        mr_buffer_add(&out, path, (size_t)(slash + 1 - path));
    }
    mr_buffer_add(&out, name.data, name.length);
    mr_buffer_add(&out, "", 1);
    return out.data;
}
