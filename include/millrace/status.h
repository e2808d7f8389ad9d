/* Outcomes, named by what happens next, and the sentence that goes with a bad one. */
#ifndef MILLRACE_STATUS_H
#define MILLRACE_STATUS_H

enum mr_status {
    MR_OK = 0, /* done                                                                  */
    MR_REJECT, /* this record (file, option...) is bad: dead-letter it, report it, go on */
    MR_FAIL,   /* this task cannot go on: stop it, restore, replay from the last commit  */
};

/* One sentence: what, where, what to do. Owned by whoever declares it; valid until set again. */
struct mr_error {
    char text[1024];
};

/* Formats the sentence (cut at the size of `text`) and returns `status`, so that a failing
 * function can end in `return mr_error_set(err, MR_FAIL, "...")`. `err` may be NULL. Cold: what
 * leads to it is kept away from the code that runs for every record. */
enum mr_status mr_error_set(struct mr_error *err, enum mr_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4), cold));

#endif
