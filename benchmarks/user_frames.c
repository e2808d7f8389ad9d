/* Frames as the published data generator of a counting challenge makes them:
 *
 *   {"a-x": 12, "ts": 1468244384, "b.y": {"uid": ["Жз"], "q": []}, "uid": "8681693f4710c4c5dc9",
 * ...}
 *
 * 24 to 33 keys at the root, about four of them repeated, 1,996 to 2,070 bytes; `ts` among the
 * first five, `uid` anywhere; both names again in nested objects, with other types. Every escape of
 * JSON, Cyrillic letters, empty objects and arrays, keys with punctuation. Once in eight frames
 * `ts` is a text, which that generator only announces. */
#include "benchmarks/user_frames.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct writer {
    struct user_frames *frames;
    char *at;
    char key[32]; /* the last one, to be repeated */
};

static uint64_t mixed(uint64_t z) { /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint32_t draw(struct writer *out, uint32_t below) {
    uint64_t bits = mixed(out->frames->seed += UINT64_C(0x9e3779b97f4a7c15));
    return (uint32_t)((bits >> 32) * below >> 32);
}

static void put(struct writer *out, const char *text) {
    size_t length = strlen(text);
    memcpy(out->at, text, length);
    out->at += length;
}

/* ---- Values -----------------------------------------------------------------------------------
 */

static void put_text(struct writer *out, int budget) {
    static const char *const pieces[] = {
        "lorem ",  "ipsum ", "dolor, ",  "sit ",    "amet; ",  "9f3c",   "https:\\/\\/x.y\\/",
        "Привет ", "мир ",   "Ещё одна", "строка ", "\\\"",    "\\\\",   "\\b",
        "\\f",     "\\n",    "\\r",      "\\t",     "\\u0416", "{\\\"}", "elit "};
    const char *end = out->at + budget;
    put(out, "\"");
    while (out->at < end) {
        put(out, pieces[draw(out, sizeof pieces / sizeof pieces[0])]);
    }
    put(out, "\"");
}

static void put_key(struct writer *out) {
    static const char *const heads[] = {"page", "geo",  "browser", "session",
                                        "ad",   "cart", "x",       "_"};
    static const char *const tails[] = {"id",   "name",  "w/h",   "lang", "v",    "ref.url",
                                        "kind", "score", "items", "at",   "user", "ключ"};
    if (out->key[0] == 0 || draw(out, 6) > 0) {
        snprintf(out->key, sizeof out->key, "%s%c%s", heads[draw(out, 8)], "-.:$ "[draw(out, 5)],
                 tails[draw(out, 12)]);
    }
    put(out, "\"");
    put(out, out->key);
    put(out, "\":");
}

static void put_scalar(struct writer *out, int budget) {
    switch (draw(out, 6)) {
    case 0:
        out->at += snprintf(out->at, 32, "%" PRIu32, draw(out, 1u << 31));
        break;
    case 1:
        out->at += snprintf(out->at, 32, "-%u.%03u", draw(out, 1000), draw(out, 1000));
        break;
    case 2:
        put(out, draw(out, 2) ? "true" : "null");
        break;
    default:
        put_text(out, budget);
    }
}

static void put_array(struct writer *out, int budget) {
    put(out, "[");
    for (uint32_t n = draw(out, 4), i = 0; i < n; i++) {
        put(out, i > 0 ? "," : "");
        put_scalar(out, budget / 4);
    }
    put(out, "]");
}

static void put_object(struct writer *out, int budget) {
    put(out, "{");
    for (uint32_t n = draw(out, 4), i = 0; i < n; i++) {
        put(out, i > 0 ? "," : "");
        switch (draw(out, 8)) { /* the names of the root, with other types */
        case 0:
            put(out, "\"uid\":");
            put_array(out, budget / 3);
            break;
        case 1:
            put(out, "\"ts\":");
            put_text(out, 6);
            break;
        default:
            put_key(out);
            put_scalar(out, budget / 3);
        }
    }
    put(out, "}");
}

static void put_member(struct writer *out, int budget) {
    put_key(out);
    switch (draw(out, 4)) {
    case 0:
        put_array(out, budget);
        break;
    case 1:
        put_object(out, budget);
        break;
    default:
        put_scalar(out, budget);
    }
}

/* ---- The frame --------------------------------------------------------------------------------
 */

static void put_ts(struct writer *out) {
    struct user_frames *frames = out->frames;
    int64_t ts = frames->ts;
    if (frames->late > 0 && draw(out, frames->late) == 0) {
        ts -= draw(out, frames->late_s + 1);
    }
    const char *quote = draw(out, 8) == 0 ? "\"" : "";
    out->at += snprintf(out->at, 32, "\"ts\":%s%" PRId64 "%s", quote, ts, quote);
}

/* 19 hexadecimal digits, always the same for a user. */
static void put_uid(struct writer *out) {
    uint64_t user = draw(out, out->frames->users);
    out->at += snprintf(out->at, 32, "\"uid\":\"%016" PRIx64 "%03x\"", mixed(user + 1),
                        (unsigned)mixed(~user) & 0xfff);
}

size_t user_frames_next(struct user_frames *frames, char out[USER_FRAME_MAX]) {
    struct writer writer = {.frames = frames, .at = out};
    frames->ts += draw(&writer, frames->rate) == 0;
    uint32_t keys = 23 + draw(&writer, 10), ts_at = draw(&writer, 5);
    uint32_t uid_at = (ts_at + 1 + draw(&writer, keys - 1)) % keys;
    char *end = out + 1994 + draw(&writer, 60);
    put(&writer, "{");
    for (uint32_t i = 0; i < keys; i++) {
        int budget = (int)(end - writer.at) / (int)(keys - i + 1);
        if (i == ts_at) {
            put_ts(&writer);
        } else if (i == uid_at) {
            put_uid(&writer);
        } else {
            put_member(&writer, budget > 8 ? budget : 8);
        }
        put(&writer, ",");
    }
    put_key(&writer);
    put_text(&writer, (int)(end - writer.at));
    put(&writer, "}");
    return (size_t)(writer.at - out);
}
