/* Reference: what a job file may say, as a page for people, from the same tables. */
#include "engine/job/load.h"

static const char *value_of(const struct mr_option *option) {
    static const char *const names[] = {
        [MR_OPTION_TEXT] = "text",
        [MR_OPTION_NUMBER] = "number",
        [MR_OPTION_SHARE] = "share",
        [MR_OPTION_DURATION] = "duration",
        [MR_OPTION_SIZE] = "size",
        [MR_OPTION_BOOL] = "`true` or `false`",
        [MR_OPTION_CHOICE] = NULL,
        [MR_OPTION_FIELDS] = "list of fields",
        [MR_OPTION_EXPRESSION] = "condition",
        [MR_OPTION_ASSIGNMENTS] = "map of field: expression",
        [MR_OPTION_FIELD] = "field",
        [MR_OPTION_KEY] = "field, the partition key",
        [MR_OPTION_PAIRS] = "list of pairs",
    };
    return names[option->type];
}

static void print_choices(const char *choices, FILE *out) {
    for (const char *at = choices; *at;) {
        size_t length = strcspn(at, "|");
        fprintf(out, "%s`%.*s`", at == choices ? "" : ", ", (int)length, at);
        at += length + (at[length] == '|');
    }
}

static void print_option(const struct mr_option *option, FILE *out) {
    fprintf(out, "| `%s` | ", option->name);
    if (value_of(option)) {
        fputs(value_of(option), out);
    } else {
        print_choices(option->choices, out);
    }
    if (!option->fallback) {
        fprintf(out, " | required");
    } else if (*option->fallback) {
        fprintf(out, " | `%s`", option->fallback);
    } else {
        fprintf(out, " | none");
    }
    fprintf(out, " | %s |\n", option->help);
}

static void print_table_head(FILE *out) {
    fprintf(out, "\n| key | value | default | meaning |\n| --- | --- | --- | --- |\n");
}

static void print_options(const struct mr_option *options, FILE *out) {
    for (const struct mr_option *option = options; option && option->name; option++) {
        print_option(option, out);
    }
}

static void print_forms(const struct mr_form *forms, FILE *out) {
    for (const struct mr_form *form = forms; form && form->name; form++) {
        fprintf(out, "| `%s` | %s%s | %s | %s |\n", form->name, form->shape ? form->shape : "",
                form->section ? (form->shape ? " a section, below" : "a section, below") : "",
                !form->required    ? "none"
                : form->of_windows ? "required with `window`"
                                   : "required",
                form->help);
    }
}

/* A heading and a table for every section below this one. */
static void print_sections(const struct mr_form *forms, const char *path, FILE *out) {
    for (const struct mr_form *form = forms; form && form->name; form++) {
        if (!form->section) {
            continue;
        }
        char name[128];
        snprintf(name, sizeof name, "%s%s%s", path, *path ? "." : "", form->name);
        fprintf(out, "\n## %s\n\n%s.\n", name, form->section->summary);
        print_table_head(out);
        print_options(form->section->options, out);
        print_forms(form->section->forms, out);
        print_sections(form->section->forms, name, out);
    }
}

static void print_tables(const struct mr_option *options, FILE *out) {
    fprintf(out,
            "\nA map of tables, at most %d: `algo: {topic: ..., key: ..., as_of: ...}`. Their "
            "fields are named by\ntable and field, `algo.algorithm`, and can be used in `let`, "
            "`where` and `group_by`.\n",
            MR_TABLES_MAX);
    print_table_head(out);
    print_options(options, out);
    print_forms(mr_table_forms, out);
    print_sections(mr_table_forms, "join.TABLE", out);
}

static void print_operator(const struct mr_operator_type *type, FILE *out) {
    const struct mr_option *options = type->options;
    fprintf(out, "\n## %s\n\n%s.\n", type->name, type->summary);
    if (type->place == MR_PLACE_JOIN) {
        print_tables(options, out);
        return;
    }
    if (options && options->name && *options->name) {
        print_table_head(out);
        print_options(options, out);
    } else if (options && options->name) {
        fprintf(out, "\nIts value: a %s. %s.\n", value_of(options), options->help);
    }
    if (type->place == MR_PLACE_DUPLICATES) {
        fprintf(out, "\nFrames are checked without being asked, by device, stream and sequence.\n");
    }
}

static void print_operators(FILE *out) {
    for (const struct mr_operator_type *const *type = mr_operator_types; *type; type++) {
        if ((*type)->place < MR_PLACE_WINDOW) {
            print_operator(*type, out);
        }
    }
}

static void print_windows(FILE *out) {
    fprintf(out, "\n## window\n\nThe time that one row covers.\n");
    for (const struct mr_window_type *const *type = mr_window_types; *type; type++) {
        fprintf(out, "\nWith `%s`: %s.\n", (*type)->key, (*type)->summary);
        print_table_head(out);
        print_options((*type)->options, out);
    }
}

static void print_result(const struct mr_aggregate_type *type, const struct mr_result *result,
                         FILE *out) {
    static const char *const needs[] = {
        [MR_FEED_SAMPLES] = "",
        [MR_FEED_HELD] = "events, whose values `hold`; or samples at a fixed rate",
        [MR_FEED_RISES] = "events with readings of a counter",
    };
    fprintf(out, "| `%s", result->name);
    if (result->field_required) {
        fprintf(out, "(field");
        for (const struct mr_option *row = result->arguments; row && row->name; row++) {
            fprintf(out, row->fallback ? ", %s=%s" : ", %s", row->name, row->fallback);
        }
        fprintf(out, ")");
    } else if (result->field_allowed) {
        fprintf(out, "`, `%s(field)", result->name);
    }
    fprintf(out, "` | %s | %s |\n", result->summary, needs[type->feed]);
}

static void print_stats(FILE *out) {
    fprintf(out,
            "\n## stats\n\n`column: statistic`. Statistics of one field share one pass and one "
            "accumulator.\n\n| statistic | result | needs |\n| --- | --- | --- |\n");
    for (const struct mr_aggregate_type *const *type = mr_aggregate_types; *type; type++) {
        for (const struct mr_result *result = (*type)->results; result->name; result++) {
            if (mr_result_is_listed(*type, result)) {
                print_result(*type, result, out);
            }
        }
    }
}

static void print_formats(FILE *out) {
    fprintf(out, "\n## Formats\n\n| format | what it is |\n| --- | --- |\n");
    for (const struct mr_codec_type *const *type = mr_codec_types; *type; type++) {
        fprintf(out, "| `%s` | %s |\n", (*type)->name, (*type)->summary);
    }
}

static const char introduction[] =
    "# The job file\n"
    "\n"
    "Made by `millrace validate --reference` from the tables that the program reads job files by.\n"
    "`millrace validate --schema` prints the same as JSON Schema, for editors\n"
    "([job.schema.json](job.schema.json)).\n"
    "\n"
    "A job file is one YAML document of at most 256 KiB: no anchors, aliases, tags or merge keys.\n"
    "A key that is not on this page is an error, and so is a duration (`250ms`, `5s`, `7d`; units\n"
    "`ns us ms s m h d`), a size (`64MiB`; `B KB MB GB KiB MiB GiB TiB`), a share (`5%`) or a "
    "rate\n"
    "(`1kHz`) without its unit.\n"
    "\n"
    "Values may hold variables: `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, "
    "`${file:/path}`;\n"
    "`$$` is a dollar sign. Inside `{}` or `[]` such a value must be quoted. What a variable holds "
    "is\n"
    "never shown in a message.\n"
    "\n"
    "Conditions and expressions: `or and not`, one comparison (`= != < <= > >=`), `+ - * /`,\n"
    "parentheses, numbers, `'text'`, names of fields. With an array they hold sample by sample.\n"
    "\n"
    "A row has the columns `job`, those of `group_by`, `window_start`, `window_end`, `closed`, "
    "`rev`,\n"
    "then those of `stats`.\n"
    "\n"
    "A job without `window` has no `group_by`, `stats`, `emit` and `retain`. Every record that "
    "comes\n"
    "through its steps is a row: `job`, `time`, the fields that `from` names, those of `let`, "
    "those\n"
    "of joined tables; with the key of the record.\n"
    "\n"
    "## The file\n";

void mr_job_reference(FILE *out) {
    fputs(introduction, out);
    print_table_head(out);
    print_options(mr_job_options, out);
    print_forms(mr_input_forms, out);
    for (const struct mr_operator_type *const *type = mr_operator_types; *type; type++) {
        if ((*type)->place < MR_PLACE_WINDOW) {
            fprintf(out, "| `%s` | below | none | %s |\n", (*type)->name, (*type)->summary);
        }
    }
    print_forms(mr_result_forms, out);
    print_sections(mr_input_forms, "", out);
    print_formats(out);
    print_operators(out);
    print_windows(out);
    print_stats(out);
    print_sections(mr_result_forms, "", out);
}
