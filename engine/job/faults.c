/* Faults: what is wrong with a job file, where, and what was probably meant.
 *
 *   power.yaml:12:1: error: unknown key `windw`
 *      12 | windw: {every: 1m}
 *         | ^~~~~
 *         = did you mean `window`?
 *
 * The first line is the one that editors and build systems know how to read. Faults are kept in
 * the order of the file, whatever the order of the checks, and at most MR_FAULTS_MAX of them, so
 * that a hostile file costs no more than a bad one. A line too long for a screen is not shown.
 * Lines of the section `kafka` are not shown either: any of them may hold a password. Columns count
 * characters, not bytes. */
#include "engine/job/source.h"
#include <stdlib.h>

#define SOURCE_LINE_MAX 400

static const char warning[] = "warning: ";

static bool is_mild(const struct mr_fault *fault) {
    return strncmp(fault->text, warning, strlen(warning)) == 0;
}

static bool is_continuation(char byte) {
    return ((unsigned char)byte & 0xC0) == 0x80;
}

static int count_characters(const char *text, size_t length) {
    int count = 0;
    for (size_t i = 0; i < length; i++) {
        count += !is_continuation(text[i]);
    }
    return count;
}

/* Whether a line has the key `kafka`, quoted or not, or the URL of a log with a user in it. */
static bool mentions_kafka(struct mr_slice line) {
    static const char key[] = "kafka";
    const char *at = line.data, *end = line.data + line.length;
    while ((at = memmem(at, (size_t)(end - at), key, strlen(key)))) {
        at += strlen(key);
        const char *colon = at;
        while (colon < end && (*colon == ' ' || *colon == '"' || *colon == '\'')) {
            colon++;
        }
        if (colon == end || *colon != ':') {
            continue;
        }
        if (colon > at || colon + 1 == end || colon[1] == ' ' || colon[1] == '\r' ||
            memchr(colon, '@', (size_t)(end - colon))) {
            return true;
        }
    }
    return false;
}

/* Whether the line at `start`, or one that encloses it by its indentation, is `kafka: ...`. By the
 * text, not by the nodes: a file that is not well-formed has none. */
static bool may_hold_secret(struct mr_slice text, size_t start) {
    size_t indentation = SIZE_MAX;
    for (;;) {
        size_t end = start, blanks = 0;
        while (end < text.length && text.data[end] != '\n') {
            end++;
        }
        while (start + blanks < end && text.data[start + blanks] == ' ') {
            blanks++;
        }
        if (start + blanks < end && blanks < indentation) {
            if (mentions_kafka((struct mr_slice){text.data + start, end - start})) {
                return true;
            }
            indentation = blanks;
        }
        if (start == 0 || indentation == 0) {
            return false;
        }
        for (start--; start > 0 && text.data[start - 1] != '\n'; start--) {
        }
    }
}

/* Line, column, the line's text and the caret's width, from the place in bytes. */
static void locate(const struct mr_source *source, struct mr_place_in_file place,
                   struct mr_fault *fault) {
    const char *text = source->text.data;
    size_t at = place.at < source->text.length ? place.at : source->text.length;
    size_t start = at;
    while (start > 0 && text[start - 1] != '\n') {
        start--;
    }
    size_t end = at;
    while (end < source->text.length && text[end] != '\n' && text[end] != '\r') {
        end++;
    }
    fault->line = 1;
    for (size_t i = 0; i < start; i++) {
        fault->line += text[i] == '\n';
    }
    fault->column = 1 + count_characters(text + start, at - start);
    size_t width = place.width < end - at ? place.width : end - at;
    fault->width = count_characters(text + at, width);
    if (end - start <= SOURCE_LINE_MAX && !may_hold_secret(source->text, start)) {
        fault->source = mr_allocate(end - start + 1);
        for (size_t i = 0; i < end - start; i++) {
            unsigned char byte = (unsigned char)text[start + i];
            bool control = (byte < 0x20 && byte != '\t') || byte == 0x7F;
            fault->source[i] = control ? '?' : text[start + i]; /* nothing steers the terminal */
        }
    }
}

static bool stands_before(const struct mr_fault *a, const struct mr_fault *b) {
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

/* One place, one fault: the first says enough, and the next is often its echo. */
static bool is_told(const struct mr_faults *faults, const struct mr_fault *fault) {
    for (size_t i = 0; i < faults->count; i++) {
        const struct mr_fault *other = &faults->items[i];
        if (fault->line > 0 && other->line == fault->line && other->column == fault->column &&
            !is_mild(other)) {
            return true;
        }
    }
    return false;
}

static void insert(struct mr_faults *faults, struct mr_fault fault) {
    faults->items = mr_reallocate(faults->items, (faults->count + 1) * sizeof *faults->items);
    size_t i = faults->count++;
    for (; i > 0 && stands_before(&fault, &faults->items[i - 1]); i--) {
        faults->items[i] = faults->items[i - 1];
    }
    faults->items[i] = fault;
}

static void finish(struct mr_fault *fault) {
    free(fault->file);
    free(fault->text);
    free(fault->source);
    free(fault->suggestion);
}

void mr_fault_add_list(struct mr_source *source, enum mr_severity severity,
                       struct mr_place_in_file place, const char *suggestion, const char *format,
                       va_list arguments) {
    source->bad = source->bad || severity == MR_ERROR;
    if (source->faults->count >= MR_FAULTS_MAX) {
        return;
    }
    char text[1024];
    size_t used = severity == MR_WARNING ? strlen(warning) : 0;
    memcpy(text, warning, used);
    vsnprintf(text + used, sizeof text - used, format, arguments);
    struct mr_fault fault = {
        .file = mr_copy_text(source->name),
        .text = mr_copy_text(text),
        .suggestion = suggestion ? mr_copy_text(suggestion) : NULL,
    };
    if (place.at != SIZE_MAX) {
        locate(source, place, &fault);
    }
    if (is_told(source->faults, &fault)) {
        finish(&fault);
    } else {
        insert(source->faults, fault);
    }
}

void mr_fault_add(struct mr_source *source, struct mr_place_in_file place, const char *suggestion,
                  const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    mr_fault_add_list(source, MR_ERROR, place, suggestion, format, arguments);
    va_end(arguments);
}

/* The caret below the line: tabs stay tabs, so that it stands where it should. */
static void print_caret(const struct mr_fault *fault, FILE *out) {
    fprintf(out, "      | ");
    int column = 1;
    for (const char *at = fault->source; *at && column < fault->column; at++) {
        if (!is_continuation(*at)) {
            fputc(*at == '\t' ? '\t' : ' ', out);
            column++;
        }
    }
    fputc('^', out);
    for (int i = 1; i < fault->width; i++) {
        fputc('~', out);
    }
    fputc('\n', out);
}

static void print_fault(const struct mr_fault *fault, FILE *out) {
    fputs(fault->file, out);
    if (fault->line > 0) {
        fprintf(out, ":%d:%d", fault->line, fault->column);
    }
    fprintf(out, ": %s%s\n", is_mild(fault) ? "" : "error: ", fault->text);
    if (fault->source && fault->line > 0) {
        fprintf(out, "%5d | %s\n", fault->line, fault->source);
        print_caret(fault, out);
    }
    if (fault->suggestion) {
        fprintf(out, "      = %s\n", fault->suggestion);
    }
}

void mr_faults_print(const struct mr_faults *faults, FILE *out) {
    for (size_t i = 0; i < faults->count; i++) {
        print_fault(&faults->items[i], out);
    }
    if (faults->count >= MR_FAULTS_MAX) {
        fprintf(out, "there may be more; these are the first %d\n", MR_FAULTS_MAX);
    }
}

void mr_faults_finish(struct mr_faults *faults) {
    for (size_t i = 0; i < faults->count; i++) {
        finish(&faults->items[i]);
    }
    free(faults->items);
    *faults = (struct mr_faults){0};
}
