/* A directory of its own for a test. */
#ifndef TESTS_LIB_TEMP_H
#define TESTS_LIB_TEMP_H

/* Makes a new directory below TMPDIR (or /tmp) and returns its path; the caller frees it. */
char *mr_temp_create(void);
/* Removes it and everything in it, frees the path. Accepts NULL. */
void mr_temp_remove(char *path);

#endif
