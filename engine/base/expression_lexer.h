/* Private to base: the tokens of expressions, and where the first fault is kept. */
#ifndef ENGINE_BASE_EXPRESSION_LEXER_H
#define ENGINE_BASE_EXPRESSION_LEXER_H

#include "engine/base/expression_tree.h"

enum mr_token {
    TOKEN_END,
    TOKEN_NUMBER,
    TOKEN_TEXT,
    TOKEN_NAME,
    TOKEN_AND,
    TOKEN_OR,
    TOKEN_NOT,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_PLUS,
    TOKEN_MINUS,
    TOKEN_TIMES,
    TOKEN_OVER,
    TOKEN_COMPARE,
};

struct mr_lexer {
    struct mr_slice text;
    struct mr_error *err;
    bool failed;  /* from the first fault on every token is TOKEN_END */
    size_t fault; /* the byte of the first fault                      */

    /* The token at hand, bytes [start, end). */
    enum mr_token token;
    size_t start, end;
    enum expression_op compare; /* TOKEN_COMPARE */
    double number;              /* TOKEN_NUMBER  */
};

void mr_lexer_next(struct mr_lexer *lexer);
struct mr_slice mr_lexer_text(const struct mr_lexer *lexer);

/* Keeps the first fault; later ones are its echo. */
void mr_lexer_refuse(struct mr_lexer *lexer, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
