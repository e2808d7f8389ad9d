/* Expressions: from text to a checked tree, by recursive descent, one function per level.
 *
 *      either      = both ("or" both)*
 *      both        = negation ("and" negation)*
 *      negation    = "not" negation | comparison
 *      comparison  = sum [("=" | "!=" | "<" | "<=" | ">" | ">=") sum]
 *      sum         = product (("+" | "-") product)*
 *      product     = factor (("*" | "/") factor)*
 *      factor      = "-" factor | "(" either ")" | number | text | field
 *
 * Types are checked as nodes are made, so each fault is found at the operand that is wrong. The
 * first fault ends the parse: every function then returns NULL up to the top. Text comes from job
 * files that anyone may write, so nesting (how deep the parser recurses) and the tree's height (how
 * deep the evaluator does) are bounded. */
#include "engine/base/base.h"
#include "engine/base/expression_lexer.h"

#define LENGTH_MAX  4096
#define NESTING_MAX 64
#define HEIGHT_MAX  128

typedef const struct mr_expression *node;

struct parser {
    struct mr_lexer lexer;
    const struct mr_scope *scope;
    struct mr_arena *arena;
    int nesting;
};

/* The one way to fail: NULL, and the reason in the lexer. */
#define REFUSE(p, ...) (mr_lexer_refuse(&(p)->lexer, __VA_ARGS__), (node)NULL)

/* ---- Nodes --------------------------------------------------------------------------------- */

static node make(struct parser *p, struct mr_expression e) {
    uint16_t left = e.left ? e.left->height : 0, right = e.right ? e.right->height : 0;
    e.height = (uint16_t)(1 + (left > right ? left : right));
    if (e.height > HEIGHT_MAX) {
        return REFUSE(p, e.at, "this expression is too large: use `let` to name parts of it");
    }
    struct mr_expression *made = mr_arena_take(p->arena, sizeof *made);
    *made = e;
    return made;
}

static const char *kind_name(enum mr_kind kind) {
    switch (kind) {
    case MR_TEXT:
        return "a text";
    case MR_BOOLEAN:
        return "a condition";
    default:
        return "a number";
    }
}

static bool is_number(node e) {
    return e->kind == MR_NUMBER || e->kind == MR_F32 || e->kind == MR_ABSENT;
}

static bool check_number(struct parser *p, node e) {
    if (e && !is_number(e)) {
        mr_lexer_refuse(&p->lexer, e->at, "expected a number, but this is %s", kind_name(e->kind));
    }
    return e && !p->lexer.failed;
}

static bool check_condition(struct parser *p, node e) {
    if (e && e->kind != MR_BOOLEAN && e->kind != MR_ABSENT) {
        mr_lexer_refuse(&p->lexer, e->at, "expected a condition, such as x > 0, but this is %s",
                        kind_name(e->kind));
    }
    return e && !p->lexer.failed;
}

static double fold(enum expression_op op, double a, double b) {
    switch (op) {
    case OP_ADD:
        return a + b;
    case OP_SUBTRACT:
        return a - b;
    case OP_MULTIPLY:
        return a * b;
    default:
        return a / b;
    }
}

static node make_arithmetic(struct parser *p, enum expression_op op, node left, node right) {
    if (!check_number(p, left) || !check_number(p, right)) {
        return NULL;
    }
    struct mr_expression e = {.op = op, .kind = MR_NUMBER, .at = left->at};
    if (left->op == OP_CONSTANT && right->op == OP_CONSTANT) {
        e.op = OP_CONSTANT;
        e.number = fold(op, left->number, right->number);
        return make(p, e);
    }
    if (left->kind == MR_F32 || right->kind == MR_F32) {
        e.kind = MR_F32;
    }
    e.left = left;
    e.right = right;
    return make(p, e);
}

static node make_negative(struct parser *p, size_t at, node operand) {
    if (!check_number(p, operand)) {
        return NULL;
    }
    struct mr_expression e = {.op = OP_NEGATE, .at = at, .left = operand};
    e.kind = operand->kind == MR_F32 ? MR_F32 : MR_NUMBER;
    if (operand->op == OP_CONSTANT) {
        e = (struct mr_expression){
            .op = OP_CONSTANT, .kind = MR_NUMBER, .at = at, .number = -operand->number};
    }
    return make(p, e);
}

static node make_comparison(struct parser *p, enum expression_op op, node left, node right) {
    if (!left || !right) {
        return NULL;
    }
    if (left->kind == MR_BOOLEAN || right->kind == MR_BOOLEAN) {
        return REFUSE(p, left->kind == MR_BOOLEAN ? left->at : right->at,
                      "a condition is not compared: write `x` or `not x`");
    }
    bool text = left->kind == MR_TEXT || right->kind == MR_TEXT;
    if (text && (left->kind == MR_NUMBER || left->kind == MR_F32 || right->kind == MR_NUMBER ||
                 right->kind == MR_F32)) {
        return REFUSE(p, right->at, "a text is compared with a text only: this compares %s with %s",
                      kind_name(left->kind), kind_name(right->kind));
    }
    if (text && op != OP_EQUAL && op != OP_UNEQUAL) {
        return REFUSE(p, left->at, "texts are compared with = and != only");
    }
    return make(p, (struct mr_expression){
                       .op = op, .kind = MR_BOOLEAN, .at = left->at, .left = left, .right = right});
}

static node make_logic(struct parser *p, enum expression_op op, node left, node right) {
    if (!check_condition(p, left) || !check_condition(p, right)) {
        return NULL;
    }
    return make(p, (struct mr_expression){
                       .op = op, .kind = MR_BOOLEAN, .at = left->at, .left = left, .right = right});
}

static node make_field(struct parser *p) {
    struct mr_slice name = mr_lexer_text(&p->lexer);
    struct mr_expression e = {.op = OP_FIELD, .at = p->lexer.start};
    enum mr_kind kind;
    if (!p->scope->find(p->scope->arg, name, &e.slot, &kind)) {
        return REFUSE(p, p->lexer.start, "unknown field `%.*s`", (int)name.length, name.data);
    }
    if (kind == MR_BYTES) {
        return REFUSE(p, p->lexer.start, "field `%.*s` holds bytes, which an expression cannot use",
                      (int)name.length, name.data);
    }
    e.kind = kind == MR_INTEGER ? MR_NUMBER : kind == MR_F64 ? MR_F32 : kind;
    return make(p, e);
}

static node make_text(struct parser *p) {
    size_t length = p->lexer.end - p->lexer.start - 2;
    char *copy = mr_arena_take(p->arena, length);
    memcpy(copy, p->lexer.text.data + p->lexer.start + 1, length);
    return make(p,
                (struct mr_expression){
                    .op = OP_TEXT, .kind = MR_TEXT, .at = p->lexer.start, .text = {copy, length}});
}

/* ---- The grammar --------------------------------------------------------------------------- */

static node parse_either(struct parser *p);

static bool go_deeper(struct parser *p) {
    if (++p->nesting > NESTING_MAX) {
        mr_lexer_refuse(&p->lexer, p->lexer.start,
                        "nested more than %d deep: use `let` to name parts of it", NESTING_MAX);
    }
    return !p->lexer.failed;
}

static node parse_group(struct parser *p) {
    size_t open = p->lexer.start;
    if (!go_deeper(p)) {
        return NULL;
    }
    mr_lexer_next(&p->lexer);
    node inside = parse_either(p);
    if (inside && p->lexer.token != TOKEN_CLOSE) {
        return REFUSE(p, p->lexer.token == TOKEN_END ? open : p->lexer.start,
                      p->lexer.token == TOKEN_END ? "this `(` is not closed"
                                                  : "expected an operator or `)`");
    }
    p->nesting--;
    return inside;
}

static node parse_atom(struct parser *p) {
    switch (p->lexer.token) {
    case TOKEN_NUMBER:
        return make(p, (struct mr_expression){.op = OP_CONSTANT,
                                              .kind = MR_NUMBER,
                                              .at = p->lexer.start,
                                              .number = p->lexer.number});
    case TOKEN_TEXT:
        return make_text(p);
    case TOKEN_NAME:
        return make_field(p);
    case TOKEN_OPEN:
        return parse_group(p);
    case TOKEN_NOT:
        return REFUSE(p, p->lexer.start, "`not` stands before a whole condition: write not (...)");
    default:
        return REFUSE(p, p->lexer.start, "expected a number, a field or `(`");
    }
}

static node parse_factor(struct parser *p) {
    if (p->lexer.failed) {
        return NULL;
    }
    if (p->lexer.token == TOKEN_MINUS) {
        size_t at = p->lexer.start;
        if (!go_deeper(p)) {
            return NULL;
        }
        mr_lexer_next(&p->lexer);
        node operand = parse_factor(p);
        p->nesting--;
        return operand ? make_negative(p, at, operand) : NULL;
    }
    node atom = parse_atom(p);
    if (atom) {
        mr_lexer_next(&p->lexer);
    }
    return atom;
}

static node parse_product(struct parser *p) {
    node left = parse_factor(p);
    while (left && (p->lexer.token == TOKEN_TIMES || p->lexer.token == TOKEN_OVER)) {
        enum expression_op op = p->lexer.token == TOKEN_TIMES ? OP_MULTIPLY : OP_DIVIDE;
        mr_lexer_next(&p->lexer);
        left = make_arithmetic(p, op, left, parse_factor(p));
    }
    return left;
}

static node parse_sum(struct parser *p) {
    node left = parse_product(p);
    while (left && (p->lexer.token == TOKEN_PLUS || p->lexer.token == TOKEN_MINUS)) {
        enum expression_op op = p->lexer.token == TOKEN_PLUS ? OP_ADD : OP_SUBTRACT;
        mr_lexer_next(&p->lexer);
        left = make_arithmetic(p, op, left, parse_product(p));
    }
    return left;
}

static node parse_comparison(struct parser *p) {
    node left = parse_sum(p);
    if (!left || p->lexer.token != TOKEN_COMPARE) {
        return left;
    }
    enum expression_op op = p->lexer.compare;
    mr_lexer_next(&p->lexer);
    node compared = make_comparison(p, op, left, parse_sum(p));
    if (compared && p->lexer.token == TOKEN_COMPARE) {
        return REFUSE(p, p->lexer.start, "comparisons cannot be chained: write a < b and b < c");
    }
    return compared;
}

static node parse_negation(struct parser *p) {
    if (p->lexer.token != TOKEN_NOT) {
        return parse_comparison(p);
    }
    size_t at = p->lexer.start;
    if (!go_deeper(p)) {
        return NULL;
    }
    mr_lexer_next(&p->lexer);
    node operand = parse_negation(p);
    p->nesting--;
    if (!check_condition(p, operand)) {
        return NULL;
    }
    return make(
        p, (struct mr_expression){.op = OP_NOT, .kind = MR_BOOLEAN, .at = at, .left = operand});
}

static node parse_both(struct parser *p) {
    node left = parse_negation(p);
    while (left && p->lexer.token == TOKEN_AND) {
        mr_lexer_next(&p->lexer);
        left = make_logic(p, OP_AND, left, parse_negation(p));
    }
    return left;
}

static node parse_either(struct parser *p) {
    node left = parse_both(p);
    while (left && p->lexer.token == TOKEN_OR) {
        mr_lexer_next(&p->lexer);
        left = make_logic(p, OP_OR, left, parse_both(p));
    }
    return left;
}

static node parse_whole(struct parser *p) {
    if (p->lexer.text.length > LENGTH_MAX) {
        return REFUSE(p, LENGTH_MAX, "an expression has at most %d bytes", LENGTH_MAX);
    }
    if (!mr_valid_utf8(p->lexer.text)) {
        return REFUSE(p, 0, "this is not valid UTF-8");
    }
    mr_lexer_next(&p->lexer);
    node whole = parse_either(p);
    if (whole && p->lexer.token != TOKEN_END) {
        return REFUSE(p, p->lexer.start,
                      p->lexer.token == TOKEN_CLOSE ? "this `)` closes nothing"
                                                    : "expected an operator or the end");
    }
    return whole;
}

enum mr_status mr_expression_parse(struct mr_slice text, const struct mr_scope *scope,
                                   struct mr_arena *arena, struct mr_expression **out,
                                   enum mr_kind *kind, size_t *at, struct mr_error *err) {
    struct parser parser = {{.text = text, .err = err}, scope, arena, 0};
    node whole = parse_whole(&parser);
    if (!whole || parser.lexer.failed) {
        *at = parser.lexer.fault;
        return MR_REJECT;
    }
    *out = (struct mr_expression *)(uintptr_t)whole;
    *kind = whole->kind;
    return MR_OK;
}
