/* Scalars of option tables, parsed the same way from job files, command lines and fallbacks.
 *
 * An error says what was expected, with an example, never only that something is wrong; where it
 * stands is the caller's to say. */
#include <millrace/option.h>

#include "engine/base/base.h"

#include <assert.h>

static void store(const struct mr_option *option, void *options, const void *value, size_t size) {
    memcpy((char *)options + option->offset, value, size);
}

static void describe_bound(const struct mr_option *option, double bound, char out[MR_TEXT_MAX]) {
    if (option->type == MR_OPTION_DURATION) {
        mr_format_duration((int64_t)bound, out);
    } else if (option->type == MR_OPTION_SIZE) {
        mr_format_size((int64_t)bound, out);
    } else if (option->type == MR_OPTION_SHARE) {
        snprintf(out, MR_TEXT_MAX, "%.10g%%", bound * 100);
    } else {
        snprintf(out, MR_TEXT_MAX, "%.10g", bound);
    }
}

/* Both bounds 0: none. A maximum below the minimum: only the minimum counts. */
static enum mr_status check_bounds(const struct mr_option *option, double x, struct mr_error *err) {
    char bound[MR_TEXT_MAX];
    if (option->minimum == 0 && option->maximum == 0) {
        return MR_OK;
    }
    if (x < option->minimum) {
        describe_bound(option, option->minimum, bound);
        return mr_error_set(err, MR_REJECT, "expected at least %s", bound);
    }
    if (option->maximum >= option->minimum && x > option->maximum) {
        describe_bound(option, option->maximum, bound);
        return mr_error_set(err, MR_REJECT, "expected at most %s", bound);
    }
    return MR_OK;
}

static enum mr_status parse_text(const struct mr_option *option, struct mr_slice text,
                                 void *options, struct mr_arena *arena, struct mr_error *err) {
    if (text.length > 0 && memchr(text.data, 0, text.length)) {
        return mr_error_set(err, MR_REJECT, "expected a text without zero bytes");
    }
    char *copy = mr_arena_take(arena, text.length + 1);
    if (text.length > 0) {
        memcpy(copy, text.data, text.length);
    }
    copy[text.length] = 0;
    store(option, options, &copy, sizeof copy);
    return MR_OK;
}

static enum mr_status parse_real(const struct mr_option *option, struct mr_slice text,
                                 void *options, struct mr_error *err) {
    double x;
    if (!mr_parse_number(text, &x)) {
        return mr_error_set(err, MR_REJECT, "expected a number, such as 20 or 0.5");
    }
    enum mr_status status = check_bounds(option, x, err);
    if (status == MR_OK) {
        store(option, options, &x, sizeof x);
    }
    return status;
}

static enum mr_status parse_share(const struct mr_option *option, struct mr_slice text,
                                  void *options, struct mr_error *err) {
    double percent;
    bool marked = text.length > 0 && text.data[text.length - 1] == '%';
    if (!marked || !mr_parse_number((struct mr_slice){text.data, text.length - 1}, &percent) ||
        percent < 0 || percent > 100) {
        return mr_error_set(err, MR_REJECT,
                            "expected a share from 0%% to 100%%, such as 5%% or 0.5%%");
    }
    double share = percent / 100;
    enum mr_status status = check_bounds(option, share, err);
    if (status == MR_OK) {
        store(option, options, &share, sizeof share);
    }
    return status;
}

static enum mr_status parse_whole(const struct mr_option *option, struct mr_slice text,
                                  void *options, struct mr_error *err) {
    int64_t x;
    if (option->type == MR_OPTION_DURATION && !mr_parse_duration(text, &x)) {
        return mr_error_set(err, MR_REJECT,
                            "expected a duration with a unit, such as 5s or 10m "
                            "(ns, us, ms, s, m, h, d)");
    }
    if (option->type == MR_OPTION_SIZE && !mr_parse_size(text, &x)) {
        return mr_error_set(err, MR_REJECT,
                            "expected a size with a unit, such as 64KiB or 1GiB "
                            "(B, KB, MB, GB, KiB, MiB, GiB, TiB)");
    }
    enum mr_status status = check_bounds(option, (double)x, err);
    if (status == MR_OK) {
        store(option, options, &x, sizeof x);
    }
    return status;
}

static enum mr_status parse_bool(const struct mr_option *option, struct mr_slice text,
                                 void *options, struct mr_error *err) {
    bool yes = mr_slice_equal(text, mr_slice_of("true"));
    if (!yes && !mr_slice_equal(text, mr_slice_of("false"))) {
        return mr_error_set(err, MR_REJECT, "expected true or false");
    }
    store(option, options, &yes, sizeof yes);
    return MR_OK;
}

static enum mr_status refuse_choice(const struct mr_option *option, struct mr_slice text,
                                    struct mr_error *err) {
    enum { WORDS = 16, LENGTH = 256 };
    char list[LENGTH], word[64];
    const char *names[WORDS + 1] = {0};
    snprintf(list, sizeof list, "%s", option->choices);
    size_t length = text.length < sizeof word ? text.length : sizeof word - 1;
    snprintf(word, sizeof word, "%.*s", (int)length, length > 0 ? text.data : "");
    struct mr_buffer all = {0};
    char *rest = NULL;
    int count = 0;
    for (char *name = strtok_r(list, "|", &rest); name && count < WORDS;
         name = strtok_r(NULL, "|", &rest)) {
        names[count++] = name;
        mr_buffer_format(&all, "%s%s", count > 1 ? ", " : "", name);
    }
    const char *near = mr_nearest(word, names);
    mr_error_set(err, MR_REJECT, "expected one of %.*s%s%s%s", (int)all.length, all.data,
                 near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
    mr_buffer_finish(&all);
    return MR_REJECT;
}

static enum mr_status parse_choice(const struct mr_option *option, struct mr_slice text,
                                   void *options, struct mr_error *err) {
    const char *at = option->choices;
    for (int index = 0;; index++) {
        size_t length = strcspn(at, "|");
        if (mr_slice_equal(text, (struct mr_slice){at, length})) {
            store(option, options, &index, sizeof index);
            return MR_OK;
        }
        if (at[length] == 0) {
            return refuse_choice(option, text, err);
        }
        at += length + 1;
    }
}

enum mr_status mr_option_parse(const struct mr_option *option, struct mr_slice text, void *options,
                               struct mr_arena *arena, struct mr_error *err) {
    switch (option->type) {
    case MR_OPTION_TEXT:
        return parse_text(option, text, options, arena, err);
    case MR_OPTION_NUMBER:
        return parse_real(option, text, options, err);
    case MR_OPTION_SHARE:
        return parse_share(option, text, options, err);
    case MR_OPTION_DURATION:
    case MR_OPTION_SIZE:
        return parse_whole(option, text, options, err);
    case MR_OPTION_BOOL:
        return parse_bool(option, text, options, err);
    case MR_OPTION_CHOICE:
        return parse_choice(option, text, options, err);
    case MR_OPTION_FIELDS:
    case MR_OPTION_EXPRESSION:
    case MR_OPTION_ASSIGNMENTS:
    case MR_OPTION_FIELD:
    case MR_OPTION_KEY:
    case MR_OPTION_PAIRS:
        break;
    }
    assert(!"only scalars are parsed here: the rest needs the job's fields");
    return MR_FAIL;
}

void mr_option_defaults(const struct mr_option *table, void *options, struct mr_arena *arena) {
    for (const struct mr_option *option = table; option->name; option++) {
        if (option->fallback && option->type < MR_OPTION_FIELDS) {
            struct mr_error err;
            enum mr_status status =
                mr_option_parse(option, mr_slice_of(option->fallback), options, arena, &err);
            assert(status == MR_OK);
        }
    }
}
