/* Check: what no single section can see. Names that meet in a row must differ, topics must not
 * feed themselves, a log must be one that this version has. */
#include "engine/job/load.h"

#define STAT_NAME_MAX 128
#define JOB_NAME_MAX  200 /* room for "-regroup-repartition" within a topic's 249 */

/* ---- Topic and job names ----------------------------------------------------------------------
 */

void mr_job_name_check(struct mr_loader *loader, const struct mr_node *node, const char *name,
                       const char *what, size_t longest) {
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t length = strlen(name);
    if (length == 0 || length > longest || strspn(name, allowed) != length) {
        mr_node_fault(loader, node, NULL,
                      "%s is named by letters, digits, `.`, `_` and `-`, at most %zu of them", what,
                      longest);
    } else if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        mr_node_fault(loader, node, NULL, "%s cannot be named `%s`", what, name);
    }
}

static const struct mr_node *find_scalar(const struct mr_node *map, const char *key) {
    const struct mr_node *node = map && map->kind == MR_NODE_MAP ? mr_node_find(map, key) : NULL;
    return node && node->kind == MR_NODE_SCALAR ? node : NULL;
}

static void check_output(struct mr_loader *loader, const struct mr_node *topic, size_t index) {
    const struct mr_plan *plan = loader->plan;
    mr_job_name_check(loader, topic, topic->text, "a topic", MR_TOPIC_MAX);
    if (plan->topic && strcmp(topic->text, plan->topic) == 0) {
        mr_node_fault(loader, topic, NULL,
                      "the job reads `%s`: it would read its own rows for ever", topic->text);
    }
    for (size_t i = 0; i < loader->table_count; i++) {
        const struct mr_join *join = &loader->tables[i].join;
        if (join->topic && strcmp(join->topic, topic->text) == 0) {
            mr_node_fault(loader, topic, NULL, "table `%s` reads `%s`: the job cannot write to it",
                          join->name, topic->text);
        }
    }
    for (size_t i = 0; i < index; i++) {
        if (strcmp(plan->outputs[i].topic, topic->text) == 0) {
            mr_node_fault(loader, topic, NULL, "`%s` is named twice", topic->text);
        }
    }
}

/* "algo" of "-algo-changelog". */
static bool is_table_changelog(const struct mr_loader *loader, const char *rest) {
    for (size_t i = 0; i < loader->table_count; i++) {
        const char *name = loader->tables[i].join.name;
        size_t length = strlen(name);
        if (*rest == '-' && strncmp(rest + 1, name, length) == 0 &&
            strcmp(rest + 1 + length, "-changelog") == 0) {
            return true;
        }
    }
    return false;
}

/* The topics that the engine makes for itself are not the job's to use. */
static void refuse_own_topic(struct mr_loader *loader, const struct mr_node *topic) {
    static const char *const own[] = {"-windows-changelog",   "-state-changelog",   "-dead-letters",
                                      "-regroup-repartition", "-regroup-changelog", NULL};
    const char *job = loader->plan->job;
    size_t length = job ? strlen(job) : 0;
    if (length == 0 || strncmp(topic->text, job, length) != 0) {
        return;
    }
    if (is_table_changelog(loader, topic->text + length)) {
        mr_node_fault(loader, topic, NULL, "`%s` is a topic that the engine keeps for this job",
                      topic->text);
    }
    for (const char *const *name = own; *name; name++) {
        if (strcmp(topic->text + length, *name) == 0) {
            mr_node_fault(loader, topic, NULL, "`%s` is a topic that the engine keeps for this job",
                          topic->text);
        }
    }
}

/* The first stage of job `a` is `a-regroup` for the log. */
static void refuse_stage_name(struct mr_loader *loader, const struct mr_node *job) {
    static const char ending[] = "-regroup";
    size_t length = strlen(job->text), end = sizeof ending - 1;
    if (length >= end && strcmp(job->text + length - end, ending) == 0) {
        mr_node_fault(loader, job, NULL,
                      "a job's name cannot end with `%s`: so the engine names a part of a job",
                      ending);
    }
}

static bool is_port(struct mr_slice text) {
    int64_t port;
    return mr_parse_integer(text, &port) && port >= 1 && port <= 65535;
}

/* HOST, HOST:PORT or [ADDRESS]:PORT */
static bool is_broker(struct mr_slice text) {
    static const char name[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    static const char address[] = "0123456789abcdefABCDEF:.%";
    size_t host = strspn(text.data, name);
    if (text.length > 0 && text.data[0] == '[') {
        host = 1 + strspn(text.data + 1, address);
        host = host > 1 && text.data[host] == ']' ? host + 1 : 0;
    }
    if (host == 0 || host == text.length) {
        return host > 0;
    }
    return text.data[host] == ':' &&
           is_port((struct mr_slice){text.data + host + 1, text.length - host - 1});
}

static bool is_brokers(const char *list) {
    bool good = *list != '\0';
    while (good && *list) {
        size_t length = strcspn(list, ",");
        good = is_broker((struct mr_slice){list, length}) && strcmp(list + length, ",") != 0;
        list += length + (list[length] == ',');
    }
    return good;
}

static void check_log(struct mr_loader *loader, const struct mr_node *node) {
    if (strncmp(node->text, "kafka:", 6) == 0) {
        if (strchr(node->text, '@')) {
            mr_node_fault(loader, node, NULL,
                          "a user and a password stand in `kafka`, as sasl.username and "
                          "sasl.password, not in `log`");
        } else if (strncmp(node->text, "kafka://", 8) != 0 || !is_brokers(node->text + 8)) {
            mr_node_fault(loader, node, NULL,
                          "a Kafka log is kafka://HOST:PORT, or several of its brokers with "
                          "commas: kafka://broker-1:9092,broker-2:9092");
        }
    } else if (strncmp(node->text, "local:", 6) != 0 && strncmp(node->text, "memory:", 7) != 0) {
        mr_node_fault(loader, node, NULL, "a log is local:DIRECTORY, kafka://HOST:PORT or memory:");
    } else if (strcmp(node->text, "local:") == 0) {
        mr_node_fault(loader, node, NULL, "local: needs a directory, such as local:./data");
    }
}

void mr_topics_check(struct mr_loader *loader) {
    const struct mr_node *job = find_scalar(loader->root, "job");
    const struct mr_node *log = find_scalar(loader->root, "log");
    const struct mr_node *input = find_scalar(mr_node_find(loader->root, "from"), "topic");
    const struct mr_node *to = mr_node_find(loader->root, "to");
    if (job) {
        mr_job_name_check(loader, job, job->text, "a job", JOB_NAME_MAX);
        refuse_stage_name(loader, job);
    }
    if (log) {
        check_log(loader, log);
    }
    if (input) {
        mr_job_name_check(loader, input, input->text, "a topic", MR_TOPIC_MAX);
        refuse_own_topic(loader, input);
    }
    size_t index = 0;
    bool readable = to && to->kind == MR_NODE_LIST && to->count <= MR_LIST_MAX;
    for (const struct mr_node *item = readable ? to->first : NULL; item; item = item->next) {
        const struct mr_node *topic = find_scalar(item, "topic");
        if (topic) {
            check_output(loader, topic, index++);
            refuse_own_topic(loader, topic);
        }
    }
}

/* ---- Columns of a row -------------------------------------------------------------------------
 */

static bool is_reserved(const char *name) {
    static const char *const reserved[] = {"job",    "window_start", "window_end",
                                           "closed", "rev",          NULL};
    for (const char *const *known = reserved; *known; known++) {
        if (strcmp(name, *known) == 0) {
            return true;
        }
    }
    return false;
}

static void check_column(struct mr_loader *loader, const struct mr_node *node, const char *name) {
    if (is_reserved(name)) {
        mr_node_fault(loader, node, NULL,
                      "`%s` is a column that every row has; give this one another name", name);
    } else if (!*name || strlen(name) > STAT_NAME_MAX) {
        mr_node_fault(loader, node, NULL, "a column's name is 1 to %d bytes long", STAT_NAME_MAX);
    }
}

static bool is_group(const struct mr_plan *plan, const char *name, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(plan->groups[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* `index` counts the groups that were read; the ones before it are compared. */
static void check_group(struct mr_loader *loader, const struct mr_node *node, const char *name,
                        size_t *index) {
    const struct mr_plan *plan = loader->plan;
    check_column(loader, node, name);
    if (*index < plan->group_count && strcmp(plan->groups[*index].name, name) == 0) {
        if (is_group(plan, name, *index)) {
            mr_node_fault(loader, node, NULL, "there are two columns `%s`", name);
        }
        (*index)++;
    }
}

static void check_groups(struct mr_loader *loader, const struct mr_node *list) {
    size_t index = 0;
    for (const struct mr_node *item = list->first; item; item = item->next) {
        if (item->kind == MR_NODE_SCALAR) {
            check_group(loader, item, item->text, &index);
        }
        for (const struct mr_node *pair = item->kind == MR_NODE_MAP ? item->first : NULL; pair;
             pair = pair->next) {
            check_group(loader, pair->key, pair->key->text, &index);
        }
    }
}

void mr_columns_check(struct mr_loader *loader) {
    const struct mr_node *groups = mr_node_find(loader->root, "group_by");
    const struct mr_node *stats = mr_node_find(loader->root, "stats");
    if (groups && groups->kind == MR_NODE_LIST) {
        check_groups(loader, groups);
    }
    for (const struct mr_node *stat = stats && stats->kind == MR_NODE_MAP ? stats->first : NULL;
         stat; stat = stat->next) {
        const char *name = stat->key->text;
        check_column(loader, stat->key, name);
        if (is_group(loader->plan, name, loader->plan->group_count)) {
            mr_node_fault(loader, stat->key, NULL, "`%s` is a column of group_by already", name);
        }
    }
}
