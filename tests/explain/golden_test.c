/* Goldens: each tests/explain/NAME.yaml is loaded and what a person would read of it (its faults,
 * or its plan and its layout) is compared with NAME.txt. So are the jobs' reference and schema.
 *
 * MILLRACE_UPDATE_GOLDENS=1 writes the files anew; the diff is then for a person to judge. */
#include "engine/job/job.h"
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

struct text {
    char *data;
    size_t length;
};

static struct text printed(void (*print)(FILE *out, const char *arg), const char *arg) {
    struct text text = {0};
    FILE *out = open_memstream(&text.data, &text.length);
    assert_non_null(out);
    print(out, arg);
    fclose(out);
    return text;
}

static struct text contents(const char *path) {
    struct text text = {0};
    FILE *file = fopen(path, "rb");
    FILE *out = open_memstream(&text.data, &text.length);
    char block[4096];
    size_t length;
    while (file && (length = fread(block, 1, sizeof block, file)) > 0) {
        fwrite(block, 1, length, out);
    }
    fclose(out);
    if (file) {
        fclose(file);
    }
    return text;
}

/* Equal, or a fault that names the file and the first line that differs. */
static bool same_as_golden(const char *path, struct text now) {
    if (getenv("MILLRACE_UPDATE_GOLDENS")) {
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(now.data, 1, now.length, file), now.length);
        fclose(file);
        return true;
    }
    struct text golden = contents(path);
    bool same = golden.length == now.length && memcmp(golden.data, now.data, now.length) == 0;
    if (!same) {
        size_t line = 1, i = 0;
        for (; i < golden.length && i < now.length && golden.data[i] == now.data[i]; i++) {
            line += now.data[i] == '\n';
        }
        print_error("%s:%zu differs (MILLRACE_UPDATE_GOLDENS=1 writes it anew); now:\n%s\n", path,
                    line, now.data);
    }
    free(golden.data);
    return same;
}

static void print_job(FILE *out, const char *path) {
    struct mr_plan *plan = NULL;
    struct mr_faults faults = {0};
    enum mr_status status = mr_job_load(path, &plan, &faults);
    mr_faults_print(&faults, out);
    mr_faults_finish(&faults);
    assert_int_equal(status == MR_OK, plan != NULL);
    if (plan) {
        mr_plan_explain(plan, 1000, 0, out);
        fprintf(out, "\nlayout\n%s", plan->layout);
        mr_plan_destroy(plan);
    }
}

static void print_schema(FILE *out, const char *arg) {
    mr_job_schema(out);
}

static void print_reference(FILE *out, const char *arg) {
    mr_job_reference(out);
}

static bool job_is_as_golden(const char *job) {
    char path[256];
    struct text now = printed(print_job, job);
    snprintf(path, sizeof path, "%.*s.txt", (int)(strlen(job) - strlen(".yaml")), job);
    bool same = same_as_golden(path, now);
    free(now.data);
    return same;
}

static void every_job_file_reads_as_its_golden(void **state) {
    glob_t jobs;
    size_t different = 0;
    setenv("MILLRACE_TEST_SECRET", "swordfish", 1);
    assert_int_equal(glob("tests/explain/*.yaml", 0, NULL, &jobs), 0);
    for (size_t i = 0; i < jobs.gl_pathc; i++) {
        different += !job_is_as_golden(jobs.gl_pathv[i]);
    }
    globfree(&jobs);
    assert_int_equal(different, 0);
}

static void no_golden_shows_the_value_of_a_variable(void **state) {
    struct text golden = contents("tests/explain/variables.txt");
    assert_non_null(strstr(golden.data, "MILLRACE_TEST_SECRET"));
    assert_null(strstr(golden.data, "swordfish"));
    free(golden.data);
}

static void no_golden_shows_what_stands_under_kafka(void **state) {
    static const char *const goldens[] = {"kafka", "kafka_bad", "kafka_broken"};
    for (size_t i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "tests/explain/%s.txt", goldens[i]);
        struct text golden = contents(path);
        assert_true(golden.length > 0);
        assert_null(strstr(golden.data, "swordfish"));
        assert_null(strstr(golden.data, "hunter2"));
        free(golden.data);
    }
}

static void the_schema_of_the_jobs_is_current(void **state) {
    struct text now = printed(print_schema, NULL);
    assert_true(same_as_golden("jobs/job.schema.json", now));
    free(now.data);
}

static void the_reference_of_the_jobs_is_current(void **state) {
    struct text now = printed(print_reference, NULL);
    assert_true(same_as_golden("jobs/REFERENCE.md", now));
    free(now.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_job_file_reads_as_its_golden),
        cmocka_unit_test(no_golden_shows_the_value_of_a_variable),
        cmocka_unit_test(no_golden_shows_what_stands_under_kafka),
        cmocka_unit_test(the_schema_of_the_jobs_is_current),
        cmocka_unit_test(the_reference_of_the_jobs_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
