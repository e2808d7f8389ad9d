/* Expressions: from bytes to tokens, one at a time, on demand.
 *
 * Spellings of other languages (==, &&, ||, !) are known only to say what to write instead. */
#include "engine/base/expression_lexer.h"

#include "engine/base/base.h"

void mr_lexer_refuse(struct mr_lexer *lexer, size_t at, const char *format, ...) {
    if (!lexer->failed) {
        struct mr_error sentence;
        va_list list;
        va_start(list, format);
        vsnprintf(sentence.text, sizeof sentence.text, format, list);
        va_end(list);
        mr_error_set(lexer->err, MR_REJECT, "%s", sentence.text);
        lexer->failed = true;
        lexer->fault = at;
    }
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c & 0x80) != 0;
}

/* The byte at `at`; 0 behind the end. */
static char peek(const struct mr_lexer *lexer, size_t at) {
    return at < lexer->text.length ? lexer->text.data[at] : 0;
}

struct mr_slice mr_lexer_text(const struct mr_lexer *lexer) {
    return (struct mr_slice){lexer->text.data + lexer->start, lexer->end - lexer->start};
}

static enum mr_token read_name(struct mr_lexer *lexer) {
    static const struct {
        const char *word;
        enum mr_token token;
    } words[] = {{"and", TOKEN_AND}, {"or", TOKEN_OR}, {"not", TOKEN_NOT}};
    char c;
    while (c = peek(lexer, lexer->end),
           is_letter(c) || is_digit(c) || (c == '.' && is_letter(peek(lexer, lexer->end + 1)))) {
        lexer->end++;
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (mr_slice_equal(mr_lexer_text(lexer), mr_slice_of(words[i].word))) {
            return words[i].token;
        }
    }
    return TOKEN_NAME;
}

static enum mr_token read_number(struct mr_lexer *lexer) {
    char c, last = 0;
    while (c = peek(lexer, lexer->end),
           is_digit(c) || is_letter(c) || c == '.' ||
               ((c == '-' || c == '+') && (last == 'e' || last == 'E'))) {
        last = c;
        lexer->end++;
    }
    struct mr_slice text = mr_lexer_text(lexer);
    if (!mr_parse_number(text, &lexer->number)) {
        mr_lexer_refuse(lexer, lexer->start, "`%.*s` is not a number", (int)text.length, text.data);
    }
    return TOKEN_NUMBER;
}

/* No escapes: a text that holds one kind of quote is written in the other. */
static enum mr_token read_text(struct mr_lexer *lexer, char quote) {
    do {
        lexer->end++;
    } while (lexer->end < lexer->text.length && lexer->text.data[lexer->end] != quote);
    if (lexer->end == lexer->text.length) {
        mr_lexer_refuse(lexer, lexer->start, "this text has no closing quote");
        return TOKEN_END;
    }
    lexer->end++;
    return TOKEN_TEXT;
}

struct symbol {
    const char *spelling; /* longer ones first */
    enum mr_token token;
    enum expression_op compare;
    const char *instead; /* what to write, for the spellings of other languages */
};

static const struct symbol symbols[] = {
    {"==", TOKEN_END, OP_EQUAL, "="},         {"&&", TOKEN_END, OP_AND, "and"},
    {"||", TOKEN_END, OP_OR, "or"},           {"<>", TOKEN_END, OP_UNEQUAL, "!="},
    {"!=", TOKEN_COMPARE, OP_UNEQUAL, NULL},  {"<=", TOKEN_COMPARE, OP_AT_MOST, NULL},
    {">=", TOKEN_COMPARE, OP_AT_LEAST, NULL}, {"=", TOKEN_COMPARE, OP_EQUAL, NULL},
    {"<", TOKEN_COMPARE, OP_LESS, NULL},      {">", TOKEN_COMPARE, OP_MORE, NULL},
    {"!", TOKEN_END, OP_NOT, "not"},          {"(", TOKEN_OPEN, OP_CONSTANT, NULL},
    {")", TOKEN_CLOSE, OP_CONSTANT, NULL},    {"+", TOKEN_PLUS, OP_ADD, NULL},
    {"-", TOKEN_MINUS, OP_SUBTRACT, NULL},    {"*", TOKEN_TIMES, OP_MULTIPLY, NULL},
    {"/", TOKEN_OVER, OP_DIVIDE, NULL},
};

static enum mr_token read_symbol(struct mr_lexer *lexer) {
    size_t left = lexer->text.length - lexer->start;
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
        const struct symbol *s = &symbols[i];
        size_t length = strlen(s->spelling);
        if (length > left || memcmp(lexer->text.data + lexer->start, s->spelling, length) != 0) {
            continue;
        }
        if (s->instead) {
            mr_lexer_refuse(lexer, lexer->start, "write `%s` instead of `%s`", s->instead,
                            s->spelling);
        }
        lexer->end = lexer->start + length;
        lexer->compare = s->compare;
        return s->token;
    }
    unsigned char c = (unsigned char)lexer->text.data[lexer->start];
    mr_lexer_refuse(
        lexer, lexer->start,
        c >= 0x20 && c < 0x7f ? "`%c` has no meaning here" : "byte %d has no meaning here", c);
    return TOKEN_END;
}

void mr_lexer_next(struct mr_lexer *lexer) {
    size_t at = lexer->end;
    char c;
    while (c = peek(lexer, at), c == ' ' || c == '\t' || c == '\n' || c == '\r') {
        at++;
    }
    lexer->start = lexer->end = at;
    if (at == lexer->text.length || lexer->failed) {
        lexer->token = TOKEN_END;
    } else if (is_letter(c)) {
        lexer->token = read_name(lexer);
    } else if (is_digit(c)) {
        lexer->token = read_number(lexer);
    } else if (c == '\'' || c == '"') {
        lexer->token = read_text(lexer, c);
    } else {
        lexer->token = read_symbol(lexer);
    }
}
