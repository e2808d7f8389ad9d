/* YAML: the text of a job file -> nodes that remember where they stood.
 *
 * libfyaml's events are used, not its documents: an event carries its marks, so every node keeps
 * the bytes it came from, and what job files do not need is refused while it is read, before it
 * can cost anything: anchors, aliases, tags, merge keys, several documents, keys that are not
 * plain words, keys given twice, more than MR_YAML_DEPTH levels.
 *
 * A file that is not well-formed has one fault: after it, nothing that follows can be trusted.
 * Everything else goes on. */
#include "engine/job/source.h"
#include <libfyaml.h>
#include <stdlib.h>
#include <uthash.h>

#define MR_YAML_DEPTH 16

struct reader {
    struct mr_source *source;
    struct fy_parser *parser;
    struct mr_node *root;
    struct mr_node *open[MR_YAML_DEPTH]; /* maps and lists that have not ended                    */
    struct mr_node *last[MR_YAML_DEPTH]; /* the last child of each                                */
    struct mr_node *key[MR_YAML_DEPTH];  /* of a map: the key that waits for its value            */
    size_t depth;
    size_t documents;
    bool stop;
};

static void drop_output(struct fy_diag *diag, void *user, const char *text, size_t length) {
}

static void stop_at(struct reader *reader, struct mr_place_in_file place, const char *sentence) {
    mr_fault_add(reader->source, place, NULL, "%s", sentence);
    reader->stop = true;
}

static struct mr_place_in_file place_of(struct fy_event *event) {
    const struct fy_mark *start = fy_event_start_mark(event);
    const struct fy_mark *end = fy_event_end_mark(event);
    if (!start) {
        return (struct mr_place_in_file){0, 0};
    }
    size_t width = end && end->input_pos > start->input_pos ? end->input_pos - start->input_pos : 1;
    return (struct mr_place_in_file){start->input_pos, width};
}

static bool is_control(unsigned char byte) {
    return (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7F;
}

static struct mr_node *make_node(struct reader *reader, struct fy_event *event,
                                 enum mr_node_kind kind) {
    struct mr_node *node = mr_arena_take(reader->source->memory, sizeof *node);
    *node = (struct mr_node){.kind = kind, .place = place_of(event), .text = ""};
    return node;
}

/* Chunk by chunk: libfyaml 0.7.12 leaks in fy_token_get_text when a text has many escapes. */
static void copy_text(struct reader *reader, struct mr_node *node, struct fy_token *token) {
    struct mr_buffer text = {0};
    struct fy_token_iter *walk = fy_token_iter_create(token);
    const struct fy_iter_chunk *chunk = NULL;
    int failed = 0;
    while (walk && (chunk = fy_token_iter_chunk_next(walk, chunk, &failed))) {
        mr_buffer_add(&text, chunk->str, chunk->len);
    }
    fy_token_iter_destroy(walk);
    for (size_t i = 0; i < text.length; i++) {
        if (is_control((unsigned char)text.data[i])) {
            stop_at(reader, node->place, "a text with control characters in it");
            break;
        }
    }
    node->text = mr_source_copy(reader->source, mr_buffer_slice(&text));
    mr_buffer_finish(&text);
}

/* 'it''s': read here, from the file, because libfyaml 0.7.12 makes three quotes of ''''. */
static void copy_single_quoted(struct reader *reader, struct mr_node *node,
                               struct fy_token *token) {
    const struct mr_slice file = reader->source->text;
    struct mr_slice raw = {file.data + node->place.at, node->place.width};
    if (!memmem(raw.data, raw.length, "''", 2)) {
        copy_text(reader, node, token);
        return;
    }
    if (memchr(raw.data, '\n', raw.length)) {
        stop_at(reader, node->place,
                "a 'quoted' text with '' in it stands on one line; write \"so\" for several");
        return;
    }
    char *text = mr_source_copy(reader->source, raw);
    size_t length = 0;
    for (size_t i = 0; i < raw.length; i++) {
        text[length++] = raw.data[i];
        i += raw.data[i] == '\'';
    }
    text[length] = '\0';
    node->text = text;
}

static struct mr_node *make_scalar(struct reader *reader, struct fy_event *event) {
    struct mr_node *node = make_node(reader, event, MR_NODE_SCALAR);
    struct fy_token *token = event->scalar.value;
    if (!token) {
        return node;
    }
    if (fy_token_scalar_style(token) == FYSS_SINGLE_QUOTED) {
        copy_single_quoted(reader, node, token);
    } else {
        copy_text(reader, node, token);
    }
    return node;
}

static void append(struct reader *reader, struct mr_node *node) {
    size_t top = reader->depth - 1;
    struct mr_node *parent = reader->open[top];
    node->key = reader->key[top];
    reader->key[top] = NULL;
    if (reader->last[top]) {
        reader->last[top]->next = node;
    } else {
        parent->first = node;
    }
    reader->last[top] = node;
    parent->count++;
}

static void take_key(struct reader *reader, struct mr_node *node) {
    if (node->kind != MR_NODE_SCALAR) {
        stop_at(reader, node->place, "a key must be a word");
    } else if (strcmp(node->text, "<<") == 0) {
        stop_at(reader, node->place, "merge keys (`<<`) are not part of a job file");
    } else {
        reader->key[reader->depth - 1] = node;
    }
}

/* A finished scalar, or a map or list that begins. */
static void take_node(struct reader *reader, struct mr_node *node) {
    if (reader->depth == 0) {
        reader->root = node;
    } else if (reader->open[reader->depth - 1]->kind == MR_NODE_MAP &&
               !reader->key[reader->depth - 1]) {
        take_key(reader, node);
        return;
    } else {
        append(reader, node);
        if (node->kind == MR_NODE_SCALAR) {
            mr_variables_expand(reader->source, node);
        }
    }
    if (node->kind == MR_NODE_SCALAR || reader->stop) {
        return;
    }
    if (reader->depth == MR_YAML_DEPTH) {
        stop_at(reader, node->place, "nested too deeply: a job file has at most 16 levels");
        return;
    }
    reader->open[reader->depth] = node;
    reader->last[reader->depth] = NULL;
    reader->key[reader->depth] = NULL;
    reader->depth++;
}

struct seen {
    const char *text;
    const struct mr_node *key;
    UT_hash_handle hh;
};

/* Two values under one key: which of them was meant? */
static void refuse_repeated_keys(struct reader *reader, const struct mr_node *map) {
    struct seen *seen = NULL;
    struct seen *rows = mr_allocate_array(map->count + 1, struct seen);
    size_t used = 0;
    for (const struct mr_node *child = map->first; child; child = child->next) {
        struct seen *found = NULL;
        HASH_FIND_STR(seen, child->key->text, found);
        if (found) {
            mr_fault_add(reader->source, child->key->place, NULL, "`%s` is given twice",
                         child->key->text);
            continue;
        }
        struct seen *row = &rows[used++];
        *row = (struct seen){.text = child->key->text, .key = child->key};
        HASH_ADD_KEYPTR(hh, seen, row->text, strlen(row->text), row);
    }
    HASH_CLEAR(hh, seen);
    free(rows);
}

static void take_end(struct reader *reader) {
    struct mr_node *node = reader->open[--reader->depth];
    if (node->kind == MR_NODE_MAP) {
        refuse_repeated_keys(reader, node);
    }
}

static struct mr_place_in_file place_of_token(struct fy_event *event, struct fy_token *token) {
    const struct fy_mark *start = token ? fy_token_start_mark(token) : NULL;
    return start ? (struct mr_place_in_file){start->input_pos, 1} : place_of(event);
}

static bool refuse_extras(struct reader *reader, struct fy_event *event) {
    struct fy_token *anchor = fy_event_get_anchor_token(event);
    struct fy_token *tag = fy_event_get_tag_token(event);
    if (event->type == FYET_ALIAS || anchor) {
        stop_at(reader, place_of_token(event, anchor),
                "anchors and aliases (`&`, `*`) are not part of a job file; quote a text that "
                "begins with one of them");
    } else if (tag) {
        stop_at(reader, place_of_token(event, tag),
                "tags (`!`) are not part of a job file; quote a text that begins with one");
    }
    return reader->stop;
}

static void take_event(struct reader *reader, struct fy_event *event) {
    if (refuse_extras(reader, event)) {
        return;
    }
    switch (event->type) {
    case FYET_DOCUMENT_START:
        if (reader->documents++ > 0) {
            stop_at(reader, place_of(event), "one file holds one job: there is a second document");
        }
        break;
    case FYET_SCALAR:
        take_node(reader, make_scalar(reader, event));
        break;
    case FYET_MAPPING_START:
        take_node(reader, make_node(reader, event, MR_NODE_MAP));
        break;
    case FYET_SEQUENCE_START:
        take_node(reader, make_node(reader, event, MR_NODE_LIST));
        break;
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        take_end(reader);
        break;
    default:
        break;
    }
}

/* The bytes of line and column (from 1) that libfyaml speaks of. */
static struct mr_place_in_file place_at(const struct mr_source *source, int line, int column) {
    size_t at = 0;
    for (int i = 1; i < line && at < source->text.length; at++) {
        i += source->text.data[at] == '\n';
    }
    size_t end = at + (size_t)(column > 1 ? column - 1 : 0);
    for (; at < end && at < source->text.length && source->text.data[at] != '\n'; at++) {
    }
    return (struct mr_place_in_file){at, 1};
}

static void report_bad_yaml(struct reader *reader, struct fy_diag *diag) {
    void *walk = NULL;
    struct fy_diag_error *error = fy_diag_errors_iterate(diag, &walk);
    if (!error) {
        mr_fault_add(reader->source, MR_WHOLE_FILE, NULL, "not valid YAML");
        return;
    }
    mr_fault_add(reader->source, place_at(reader->source, error->line, error->column), NULL,
                 "not valid YAML: %s", error->msg);
}

static void read_events(struct reader *reader, struct fy_diag *diag) {
    struct fy_event *event;
    while (!reader->stop && (event = fy_parser_parse(reader->parser))) {
        take_event(reader, event);
        fy_parser_event_free(reader->parser, event);
    }
    if (!reader->stop && fy_parser_get_stream_error(reader->parser)) {
        report_bad_yaml(reader, diag);
        reader->stop = true;
    }
}

struct mr_node *mr_yaml_read(struct mr_source *source) {
    struct fy_diag_cfg diag_settings;
    fy_diag_cfg_default(&diag_settings);
    diag_settings.fp = NULL;
    diag_settings.output_fn = drop_output;
    struct fy_diag *diag = fy_diag_create(&diag_settings);
    fy_diag_set_collect_errors(diag, true);
    struct fy_parse_cfg settings = {.search_path = "", .flags = FYPCF_QUIET, .diag = diag};
    struct reader reader = {.source = source, .parser = fy_parser_create(&settings)};
    if (fy_parser_set_string(reader.parser, source->text.data, source->text.length) == 0) {
        read_events(&reader, diag);
    }
    fy_parser_destroy(reader.parser);
    fy_diag_destroy(diag);
    if (reader.stop) {
        return NULL;
    }
    if (!reader.root || reader.root->kind != MR_NODE_MAP) {
        mr_fault_add(source, MR_WHOLE_FILE, "the smallest one has job, from, window, stats and to",
                     "a job file is a list of `key: value` lines");
        return NULL;
    }
    return reader.root;
}

const struct mr_node *mr_node_find(const struct mr_node *map, const char *key) {
    for (const struct mr_node *child = map->first; child; child = child->next) {
        if (strcmp(child->key->text, key) == 0) {
            return child;
        }
    }
    return NULL;
}
