/* How a command reaches its log and ends: properties, identity, deadlines. */
#include "engine/cli/connect.h"
#include "tests/lib/temp.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char *folder, path[512];
static struct mr_error err;

static int make_folder(void **state) {
    folder = mr_temp_create();
    return 0;
}

static int drop_folder(void **state) {
    mr_temp_remove(folder);
    return 0;
}

static const char *in_folder(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *text) {
    FILE *file = fopen(in_folder(name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

/* ---- Properties ----------------------------------------------------------------------------- */

static void a_file_of_properties_is_read(void **state) {
    struct mr_properties properties = {0};
    put("client", "# for the meters\n\nsecurity.protocol=SASL_SSL\r\n"
                  "  sasl.password =  a=b c  \nssl.ca.location=/x");
    assert_int_equal(mr_properties_read(&properties, path, &err), MR_OK);
    assert_int_equal(properties.count, 3);
    assert_string_equal(properties.items[0].name, "security.protocol");
    assert_string_equal(properties.items[0].value, "SASL_SSL");
    assert_string_equal(properties.items[1].name, "sasl.password");
    assert_string_equal(properties.items[1].value, "a=b c");
    assert_string_equal(properties.items[2].value, "/x");
    mr_properties_finish(&properties);
}

static void refuse(const char *text, const char *expected) {
    struct mr_properties properties = {0};
    put("client", text);
    assert_int_equal(mr_properties_read(&properties, path, &err), MR_REJECT);
    if (!strstr(err.text, expected) || strstr(err.text, "hunter2")) {
        print_error("expected: %s\nfound: %s\n", expected, err.text);
        fail();
    }
    mr_properties_finish(&properties);
}

static void a_bad_line_is_told_by_its_number_and_never_shown(void **state) {
    refuse("a=b\nhunter2\n", ":2: expected NAME=VALUE");
    refuse("=hunter2\n", ":1: expected NAME=VALUE");
    refuse("sasl password=hunter2\n", ":1: expected NAME=VALUE");
    refuse("\n\nsasl.password=  \n", ":3: sasl.password has no value");
}

static void a_file_that_is_not_there_or_no_text_is_refused(void **state) {
    struct mr_properties properties = {0};
    assert_int_equal(mr_properties_read(&properties, in_folder("none"), &err), MR_REJECT);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(mr_properties_read(&properties, folder, &err), MR_REJECT);
    char *long_text = mr_allocate(70000);
    memset(long_text, 'a', 69999);
    refuse(long_text, "longer than 64 KiB");
    free(long_text);
    mr_properties_finish(&properties);
}

static void a_bad_file_is_a_bad_configuration(void **state) {
    struct mr_log *log;
    put("client", "hunter2\n");
    struct mr_connect how = {.url = "memory:", .file = path, .late = ""};
    assert_int_equal(mr_connect(&how, &log, &err), MR_EXIT_CONFIGURATION);
    assert_null(log);
}

static void a_log_without_a_client_takes_no_offence_at_properties(void **state) {
    struct mr_log *log;
    put("client", "security.protocol=ssl\n");
    struct mr_connect how = {.url = "memory:", .file = path, .late = ""};
    assert_int_equal(mr_connect(&how, &log, &err), MR_EXIT_OK);
    mr_log_close(log);
}

/* The job's loader and the log each have a table of them: the one tells the place, the other knows
 * of --kafka too. */
static void what_a_job_may_not_set_a_file_may_not_set_either(void **state) {
    static const char *const names[] = {"bootstrap.servers",
                                        "group.id",
                                        "group.instance.id",
                                        "partition.assignment.strategy",
                                        "transactional.id",
                                        "enable.idempotence",
                                        "isolation.level",
                                        "enable.auto.commit",
                                        "enable.auto.offset.store",
                                        "auto.offset.reset",
                                        "enable.partition.eof",
                                        "partitioner",
                                        "acks",
                                        "client.rack",
                                        "debug"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char text[512];
        struct mr_log *log;
        struct mr_plan *plan;
        struct mr_faults faults = {0};
        snprintf(text, sizeof text,
                 "job: j\nfrom: {topic: in, format: json, timestamp: log}\ngroup_by: []\n"
                 "window: {every: 1m}\nstats: {n: count}\nto: [{topic: out}]\n"
                 "kafka: {librdkafka: {%s: x}}\n",
                 names[i]);
        assert_int_equal(mr_job_load_text("j.yaml", mr_slice_of(text), &plan, &faults), MR_REJECT);
        mr_faults_finish(&faults);
        snprintf(text, sizeof text, "%s=x\n", names[i]);
        put("client", text);
        struct mr_connect how = {.url = "kafka://127.0.0.1:1", .file = path, .late = ""};
        assert_int_equal(mr_connect(&how, &log, &err), MR_EXIT_CONFIGURATION);
        assert_non_null(strstr(err.text, "cannot be set"));
    }
}

/* ---- Identity ------------------------------------------------------------------------------- */

static void an_identity_is_made_once_and_kept(void **state) {
    struct mr_identity first, second;
    struct stat about;
    const char *dir = in_folder("a/b/job");
    assert_int_equal(mr_identity_open(dir, &first, &err), MR_OK);
    assert_int_equal(strlen(first.name), 16);
    assert_int_equal(strspn(first.name, "0123456789abcdef"), 16);
    mr_identity_close(&first);
    assert_int_equal(mr_identity_open(dir, &second, &err), MR_OK);
    assert_string_equal(first.name, second.name);
    mr_identity_close(&second);
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 07777, 0700);
    assert_int_equal(stat(in_folder("a/b/job/instance"), &about), 0);
    assert_int_equal(about.st_mode & 07777, 0600);
}

static void two_directories_have_two_identities(void **state) {
    struct mr_identity first, second;
    assert_int_equal(mr_identity_open(in_folder("one"), &first, &err), MR_OK);
    assert_int_equal(mr_identity_open(in_folder("two"), &second, &err), MR_OK);
    assert_string_not_equal(first.name, second.name);
    mr_identity_close(&first);
    mr_identity_close(&second);
}

static void the_second_process_is_told_who_has_the_identity(void **state) {
    struct mr_identity first, second;
    char pid[32];
    assert_int_equal(mr_identity_open(in_folder("one"), &first, &err), MR_OK);
    assert_int_equal(mr_identity_open(path, &second, &err), MR_REJECT);
    snprintf(pid, sizeof pid, "process %d,", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    assert_non_null(strstr(err.text, "--dir OTHER"));
    mr_identity_close(&first);
    assert_int_equal(mr_identity_open(path, &second, &err), MR_OK);
    mr_identity_close(&second);
}

static void a_damaged_identity_is_no_identity(void **state) {
    static const char *const bad[] = {
        "", "\n", "12345", "0123456789abcdef0", "zzzzzzzzzzzzzzzz", "01234567\n\n"};
    struct mr_identity identity;
    assert_int_equal(mkdir(in_folder("job"), 0700), 0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("job/instance", bad[i]);
        assert_int_equal(mr_identity_open(in_folder("job"), &identity, &err), MR_FAIL);
        assert_non_null(strstr(err.text, "instance is damaged"));
    }
    put("job/instance", "01234567\n");
    assert_int_equal(mr_identity_open(in_folder("job"), &identity, &err), MR_OK);
    assert_string_equal(identity.name, "01234567");
    mr_identity_close(&identity);
}

static void what_a_dead_process_left_half_made_is_no_hindrance(void **state) {
    struct mr_identity identity;
    assert_int_equal(mkdir(in_folder("job"), 0700), 0);
    put("job/instance.new", "0123");
    assert_int_equal(mr_identity_open(in_folder("job"), &identity, &err), MR_OK);
    mr_identity_close(&identity);
}

static void a_link_is_not_followed(void **state) {
    struct mr_identity identity;
    put("elsewhere", "0123456789abcdef");
    assert_int_equal(mkdir(in_folder("job"), 0700), 0);
    assert_int_equal(symlink("../elsewhere", in_folder("job/instance")), 0);
    assert_int_equal(mr_identity_open(in_folder("job"), &identity, &err), MR_FAIL);
    assert_int_equal(unlink(in_folder("job/instance")), 0);
    assert_int_equal(unlink(in_folder("job/lock")), 0);
    assert_int_equal(symlink("../elsewhere", in_folder("job/lock")), 0);
    assert_int_equal(mr_identity_open(in_folder("job"), &identity, &err), MR_FAIL);
}

static void a_directory_that_cannot_be_made_is_named(void **state) {
    struct mr_identity identity;
    put("file", "");
    assert_int_equal(mr_identity_open(in_folder("file/job"), &identity, &err), MR_FAIL);
    assert_non_null(strstr(err.text, "file/job: Not a directory"));
    assert_non_null(strstr(err.text, "--dir names another"));
}

/* ---- Stopping: each in a process of its own -------------------------------------------------- */

static void wait_for_ever(void) {
    for (;;) {
        pause();
    }
}

static void stop_and_hang(void) {
    mr_catch_signals();
    mr_stop_limit("the broker sleeps");
    mr_stop();
    wait_for_ever();
}

static void stop_by_signal_and_hang(void) {
    mr_catch_signals();
    mr_stop_limit("the broker sleeps");
    raise(SIGTERM);
    wait_for_ever();
}

static void hear_of_the_limit_late(void) {
    mr_catch_signals();
    raise(SIGINT);
    mr_stop_limit("the broker sleeps");
    wait_for_ever();
}

static void stop_after_a_while_and_end(void) {
    const atomic_bool *stop = mr_catch_signals();
    mr_stop_limit("not to be said");
    mr_stop_after(MR_SECOND / 100);
    while (!*stop) {
        pause();
    }
    _exit(7);
}

static void stop_twice(void) {
    mr_catch_signals();
    raise(SIGTERM);
    raise(SIGTERM);
    wait_for_ever();
}

struct life {
    pid_t child;
    int out;
    int code;
    char said[256];
    int64_t start_ns, ns;
};

static struct life begin(void (*body)(void)) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    struct life life = {.out = pipes[0], .start_ns = mr_real_clock.steady_ns(&mr_real_clock)};
    life.child = fork();
    if (life.child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        close(pipes[0]);
        close(pipes[1]);
        body();
    }
    close(pipes[1]);
    return life;
}

static void end(struct life *life) {
    int status;
    size_t length = 0;
    for (ssize_t n; (n = read(life->out, life->said + length, 255 - length)) > 0;) {
        length += (size_t)n;
    }
    close(life->out);
    assert_int_equal(waitpid(life->child, &status, 0), life->child);
    life->ns = mr_real_clock.steady_ns(&mr_real_clock) - life->start_ns;
    assert_true(WIFEXITED(status));
    life->code = WEXITSTATUS(status);
}

static void a_process_that_hangs_while_it_stops_is_ended(void **state) {
    void (*const bodies[])(void) = {stop_and_hang, stop_by_signal_and_hang, hear_of_the_limit_late};
    struct life lives[3];
    for (size_t i = 0; i < 3; i++) {
        lives[i] = begin(bodies[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        end(&lives[i]);
        assert_int_equal(lives[i].code, MR_EXIT_FAILED);
        assert_string_equal(lives[i].said, "millrace: the broker sleeps\n");
        assert_true(lives[i].ns >= MR_STOP_LIMIT); /* how much later is the machine's affair */
    }
}

static void a_process_that_stops_in_time_says_nothing(void **state) {
    struct life life = begin(stop_after_a_while_and_end);
    end(&life);
    assert_int_equal(life.code, 7);
    assert_string_equal(life.said, "");
}

static void the_second_signal_ends_the_process_at_once(void **state) {
    struct life life = begin(stop_twice);
    end(&life);
    assert_int_equal(life.code, 128 + SIGTERM);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_of_properties_is_read),
        IN_FOLDER(a_bad_line_is_told_by_its_number_and_never_shown),
        IN_FOLDER(a_file_that_is_not_there_or_no_text_is_refused),
        IN_FOLDER(a_bad_file_is_a_bad_configuration),
        IN_FOLDER(a_log_without_a_client_takes_no_offence_at_properties),
        IN_FOLDER(an_identity_is_made_once_and_kept),
        IN_FOLDER(two_directories_have_two_identities),
        IN_FOLDER(the_second_process_is_told_who_has_the_identity),
        IN_FOLDER(a_damaged_identity_is_no_identity),
        IN_FOLDER(what_a_dead_process_left_half_made_is_no_hindrance),
        IN_FOLDER(a_link_is_not_followed),
        IN_FOLDER(a_directory_that_cannot_be_made_is_named),
        cmocka_unit_test(a_process_that_hangs_while_it_stops_is_ended),
        cmocka_unit_test(a_process_that_stops_in_time_says_nothing),
        cmocka_unit_test(the_second_signal_ends_the_process_at_once),
        /* last: from here on this process has a limit of its own, which those above must not */
        IN_FOLDER(what_a_job_may_not_set_a_file_may_not_set_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
