/* Schema: what a job file may say, as JSON Schema 2020-12, for editors and other checkers. It is
 * made of the tables that the loader reads, so it cannot say anything else.
 *
 * A schema sees the file before ${VARIABLES} are replaced: where a number, a duration or a choice
 * is expected, a text with a variable in it is right too. What needs the rest of the file (names
 * that meet, kinds of fields) is left to `millrace validate`. */
#include "engine/job/load.h"
#include <millrace/json.h>
#include <stdlib.h>

static void add_string(struct mr_buffer *out, const char *text) {
    struct mr_slice slice = mr_slice_of(text);
    mr_buffer_reserve(out, 6 * slice.length + 2);
    out->length += mr_json_write_string(out->data + out->length, slice);
}

static void add_pattern(struct mr_buffer *out, const char *pattern) {
    mr_buffer_text(out, "\"type\":\"string\",\"pattern\":");
    add_string(out, pattern);
}

static void add_choices(struct mr_buffer *out, const char *choices) {
    mr_buffer_text(out, "\"anyOf\":[{\"enum\":[");
    for (const char *at = choices; *at;) {
        size_t length = strcspn(at, "|");
        mr_buffer_format(out, "%s\"%.*s\"", at == choices ? "" : ",", (int)length, at);
        at += length + (at[length] == '|');
    }
    mr_buffer_text(out, "]},{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\"}]");
}

/* The members of the schema of one value, without the braces. */
static void add_type(struct mr_buffer *out, const struct mr_option *option) {
    switch (option->type) {
    case MR_OPTION_TEXT:
        mr_buffer_text(out, "\"type\":\"string\"");
        break;
    case MR_OPTION_NUMBER:
        mr_buffer_text(out, "\"anyOf\":[{\"type\":\"number\"},"
                            "{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\"}]");
        break;
    case MR_OPTION_SHARE:
        add_pattern(out, "^[0-9.]+%$|\\$\\{");
        break;
    case MR_OPTION_DURATION:
        add_pattern(out, "^[0-9.]+(ns|us|ms|s|m|h|d)$|\\$\\{");
        break;
    case MR_OPTION_SIZE:
        add_pattern(out, "^[0-9.]+(B|KB|MB|GB|KiB|MiB|GiB|TiB)$|\\$\\{");
        break;
    case MR_OPTION_BOOL:
        mr_buffer_text(out, "\"anyOf\":[{\"type\":\"boolean\"},"
                            "{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\"}]");
        break;
    case MR_OPTION_CHOICE:
        add_choices(out, option->choices);
        break;
    case MR_OPTION_FIELDS:
        mr_buffer_text(out, "\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"string\"}");
        break;
    case MR_OPTION_EXPRESSION:
        mr_buffer_text(out, "\"type\":\"string\"");
        break;
    case MR_OPTION_ASSIGNMENTS:
        mr_buffer_text(out, "\"type\":\"object\",\"additionalProperties\":"
                            "{\"type\":[\"string\",\"number\"]}");
        break;
    case MR_OPTION_FIELD:
    case MR_OPTION_KEY:
        mr_buffer_text(out, "\"type\":\"string\"");
        break;
    case MR_OPTION_PAIRS:
        mr_buffer_text(out, "\"type\":\"array\",\"minItems\":1,\"items\":{\"type\":\"array\","
                            "\"minItems\":2,\"maxItems\":2,\"items\":"
                            "{\"type\":[\"string\",\"number\",\"boolean\"]}}");
        break;
    }
}

static void add_option(struct mr_buffer *out, const struct mr_option *option) {
    mr_buffer_text(out, "{\"description\":");
    add_string(out, option->help);
    if (option->fallback && *option->fallback) {
        mr_buffer_text(out, ",\"default\":");
        add_string(out, option->fallback);
    }
    mr_buffer_text(out, ",");
    add_type(out, option);
    mr_buffer_text(out, "}");
}

/* ---- Objects: a comma before each member but the first ----------------------------------------
 */

struct object {
    struct mr_buffer *out;
    struct mr_buffer required; /* names, each with a comma before it */
    bool started;
};

static void begin_member(struct object *object, const char *name, bool required) {
    if (object->started) {
        mr_buffer_text(object->out, ",");
    }
    object->started = true;
    add_string(object->out, name);
    mr_buffer_text(object->out, ":");
    if (required) {
        mr_buffer_text(&object->required, ",");
        add_string(&object->required, name);
    }
}

static struct object begin_object(struct mr_buffer *out, const char *summary) {
    mr_buffer_text(out, "{\"description\":");
    add_string(out, summary);
    mr_buffer_text(out, ",\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    return (struct object){.out = out};
}

static void end_object(struct object *object) {
    mr_buffer_text(object->out, "}");
    if (object->required.length > 0) {
        mr_buffer_format(object->out, ",\"required\":[%.*s]", (int)object->required.length - 1,
                         object->required.data + 1);
    }
    mr_buffer_text(object->out, "}");
    mr_buffer_finish(&object->required);
}

static void add_options(struct object *object, const struct mr_option *options) {
    for (const struct mr_option *option = options; option && option->name; option++) {
        begin_member(object, option->name, !option->fallback);
        add_option(object->out, option);
    }
}

static void add_forms(struct object *object, const struct mr_form *forms) {
    for (const struct mr_form *form = forms; form && form->name; form++) {
        begin_member(object, form->name, form->required && !form->of_windows);
        if (form->schema) {
            form->schema(object->out);
        } else {
            mr_schema_section(object->out, form->section);
        }
    }
}

void mr_schema_section(struct mr_buffer *out, const struct mr_section *section) {
    struct object object = begin_object(out, section->summary);
    add_options(&object, section->options);
    add_forms(&object, section->forms);
    end_object(&object);
}

/* ---- What the tables of the operators add -----------------------------------------------------
 */

void mr_schema_window(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"anyOf\":[");
    for (const struct mr_window_type *const *type = mr_window_types; *type; type++) {
        mr_buffer_text(out, type == mr_window_types ? "" : ",");
        struct object object = begin_object(out, (*type)->summary);
        add_options(&object, (*type)->options);
        end_object(&object);
    }
    mr_buffer_text(out, "]}");
}

void mr_schema_stats(struct mr_buffer *out) {
    struct mr_buffer pattern = {0};
    const char *separator = "";
    for (const struct mr_aggregate_type *const *type = mr_aggregate_types; *type; type++) {
        for (const struct mr_result *result = (*type)->results; result->name; result++) {
            if (mr_result_is_listed(*type, result)) {
                mr_buffer_format(&pattern, "%s%s", separator, result->name);
                separator = "|";
            }
        }
    }
    mr_buffer_format(out,
                     "{\"type\":\"object\",\"minProperties\":1,\"additionalProperties\":"
                     "{\"type\":\"string\",\"pattern\":\"^(%.*s) *([(].*[)])?$|\\\\$\\\\{\"}}",
                     (int)pattern.length, pattern.data ? pattern.data : "");
    mr_buffer_finish(&pattern);
}

static void add_operator(struct object *object, const struct mr_operator_type *type) {
    begin_member(object, type->name, false);
    if (type->place == MR_PLACE_JOIN) {
        mr_join_schema(object->out, type);
        return;
    }
    if (type->options && type->options->name && !*type->options->name) {
        add_option(object->out, type->options);
        return;
    }
    struct object section = begin_object(object->out, type->summary);
    add_options(&section, type->options);
    end_object(&section);
}

/* ---- Printing ---------------------------------------------------------------------------------
 */

static void print_line(FILE *out, int depth) {
    fprintf(out, "\n%*s", 2 * depth, "");
}

/* Two spaces a level; short lists and objects within a line would need a second look: not worth
 * it, the reader of this is a program. */
static void print_indented(struct mr_slice json, FILE *out) {
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < json.length; i++) {
        char c = json.data[i];
        if (quoted) {
            fputc(c, out);
            if (c == '\\') {
                fputc(json.data[++i], out);
            }
            quoted = c != '"';
        } else if (c == '{' || c == '[') {
            fputc(c, out);
            print_line(out, ++depth);
        } else if (c == '}' || c == ']') {
            print_line(out, --depth);
            fputc(c, out);
        } else {
            fputc(c, out);
            quoted = c == '"';
            if (c == ',') {
                print_line(out, depth);
            } else if (c == ':') {
                fputc(' ', out);
            }
        }
    }
    fputc('\n', out);
}

/* Behind the last brace: what a window needs, and what needs a window. */
static void add_dependents(struct mr_buffer *out) {
    const char *separator = "";
    out->length--;
    mr_buffer_text(out, ",\"dependentRequired\":{\"window\":[");
    for (const struct mr_form *form = mr_result_forms; form->name; form++) {
        if (form->of_windows && form->required) {
            mr_buffer_format(out, "%s\"%s\"", separator, form->name);
            separator = ",";
        }
    }
    mr_buffer_text(out, "],\"retain\":[\"window\"]");
    for (const struct mr_form *form = mr_result_forms; form->name; form++) {
        if (form->of_windows) {
            mr_buffer_format(out, ",\"%s\":[\"window\"]", form->name);
        }
    }
    mr_buffer_text(out, "}}");
}

void mr_job_schema(FILE *out) {
    struct mr_buffer json = {0};
    struct mr_buffer root = {0};
    struct object object = begin_object(&root, "A job of Millrace");
    add_options(&object, mr_job_options);
    add_forms(&object, mr_input_forms);
    for (const struct mr_operator_type *const *type = mr_operator_types; *type; type++) {
        if ((*type)->place < MR_PLACE_WINDOW) {
            add_operator(&object, *type);
        }
    }
    add_forms(&object, mr_result_forms);
    end_object(&object);
    add_dependents(&root);
    mr_buffer_text(&json, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
                          "\"title\":\"Millrace job\",");
    mr_buffer_add(&json, root.data + 1, root.length - 1);
    print_indented(mr_buffer_slice(&json), out);
    mr_buffer_finish(&root);
    mr_buffer_finish(&json);
}
