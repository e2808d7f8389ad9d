/* The section `kafka`: properties of the client, by librdkafka's own names.
 *
 *   kafka:
 *     security.protocol: SASL_SSL          what concerns security stands here
 *     sasl.password: ${PASSWORD}
 *     librdkafka: {fetch.wait.max.ms: 50}  anything else here
 *
 * The client itself judges names and values, when the log is opened. Told here, with the place, is
 * what would take from the engine what its promises rest on. No fault about this section quotes a
 * value, and faults.c shows none of its lines: any of them may hold a password. */
#include "engine/job/load.h"

struct kept {
    const char *name, *reason;
};
#define BROKERS   "the brokers stand in `log`, such as kafka://broker:9092"
#define GROUP     "the members of the job's group share out its partitions as the engine needs it"
#define POSITIONS "positions are committed with the rows, in one transaction"
#define ACKS      "all replicas in sync must have a row before it counts"
#define EVENTS    "the engine takes what the client reports by itself"
static const struct kept engines_own[] = {
    {"brokers", BROKERS},
    {"bootstrap.servers", BROKERS},
    {"metadata.broker.list", BROKERS},
    {"allow.auto.create.topics", "a topic that is made by accident has the wrong settings"},
    {"group.id", "it is the name of the job"},
    {"group.instance.id", GROUP},
    {"group.protocol", GROUP},
    {"group.protocol.type", GROUP},
    {"group.remote.assignor", GROUP},
    {"partition.assignment.strategy", GROUP},
    {"enable.auto.commit", POSITIONS},
    {"auto.commit.enable", POSITIONS},
    {"auto.commit.interval.ms", POSITIONS},
    {"enable.auto.offset.store", POSITIONS},
    {"offset.store.method", POSITIONS},
    {"auto.offset.reset", "to begin elsewhere in silence would lose or repeat records"},
    {"enable.partition.eof", "the engine must know where a partition ends"},
    {"isolation.level", "only committed records are read"},
    {"client.rack", "only a partition's leader knows where it ends"},
    {"transactional.id", "it is made of the job's name and the identity kept in --dir"},
    {"enable.idempotence", "without it rows could come twice"},
    {"acks", ACKS},
    {"request.required.acks", ACKS},
    {"partitioner", "a key must go where Kafka's Java clients send it"},
    {"delivery.report.only.error", EVENTS},
    {"enabled_events", EVENTS},
    {"log.queue", EVENTS},
    {"debug", "its lines may hold secrets"},
    {"plugin.library.paths", "a job file loads no code"},
    {0},
};

/* The ones to find in the reference; the client knows more. */
static const struct mr_option kafka_options[] = {
    {"security.protocol", MR_OPTION_TEXT, NULL, "plaintext",
     "`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`", 0, 0, 0},
    {"sasl.mechanism", MR_OPTION_TEXT, NULL, "",
     "Such as `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` or `OAUTHBEARER`", 0, 0, 0},
    {"sasl.username", MR_OPTION_TEXT, NULL, "", "Of `PLAIN` and `SCRAM`", 0, 0, 0},
    {"sasl.password", MR_OPTION_TEXT, NULL, "",
     "Best as a variable, such as `\"${file:/run/secrets/kafka}\"`; never shown", 0, 0, 0},
    {"ssl.ca.location", MR_OPTION_TEXT, NULL, "",
     "The file of the authorities that sign the brokers' certificates; else the system's", 0, 0, 0},
    {"ssl.certificate.location", MR_OPTION_TEXT, NULL, "",
     "This client's certificate, where the brokers ask for one", 0, 0, 0},
    {"ssl.key.location", MR_OPTION_TEXT, NULL, "", "Its private key", 0, 0, 0},
    {"ssl.key.password", MR_OPTION_TEXT, NULL, "", "Of that key; never shown", 0, 0, 0},
    {0},
};

static bool is_security(const char *name) {
    return strcmp(name, "security.protocol") == 0 || strncmp(name, "sasl.", 5) == 0 ||
           strncmp(name, "ssl.", 4) == 0 ||
           strcmp(name, "enable.ssl.certificate.verification") == 0;
}

static bool is_given(const struct mr_plan *plan, const char *name) {
    for (size_t i = 0; i < plan->property_count; i++) {
        if (strcmp(plan->properties[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_engines_own(struct mr_loader *loader, const struct mr_node *key) {
    for (const struct kept *kept = engines_own; kept->name; kept++) {
        if (strcmp(key->text, kept->name) == 0) {
            mr_node_fault(loader, key, NULL, "`%s` cannot be set: %s", kept->name, kept->reason);
            return true;
        }
    }
    return false;
}

static void add_property(struct mr_loader *loader, const struct mr_node *value) {
    struct mr_plan *plan = loader->plan;
    const char *name = value->key->text;
    if (is_engines_own(loader, value->key)) {
        return;
    }
    if (value->kind != MR_NODE_SCALAR) {
        mr_node_fault(loader, value->key, NULL, "`%s` is one value: text, a number, true or false",
                      name);
    } else if (value->broken) {
        loader->source.bad = true;
    } else if (!*value->text) {
        mr_node_fault(loader, value->key, NULL, "`%s` is empty", name);
    } else if (is_given(plan, name)) {
        mr_node_fault(loader, value->key, NULL, "`%s` is given twice", name);
    } else {
        plan->properties[plan->property_count++] = (struct mr_property){name, value->text};
    }
}

static void load_librdkafka(struct mr_loader *loader, const struct mr_node *node) {
    if (mr_expect(loader, node, MR_NODE_MAP, "a map of property: value")) {
        for (const struct mr_node *value = node->first; value; value = value->next) {
            add_property(loader, value);
        }
    }
}

static void schema_properties(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"type\":\"object\",\"additionalProperties\":"
                        "{\"type\":[\"string\",\"number\",\"boolean\"]}}");
}

static const struct mr_form kafka_forms[] = {
    {.name = "librdkafka",
     .help = "Any other property of the client, applied last; those that the engine's promises "
             "rest on are refused",
     .load = load_librdkafka,
     .schema = schema_properties,
     .shape = "a map of property: value"},
    {0},
};

const struct mr_section mr_kafka_section = {
    .summary = "How to connect where the log is Kafka, by librdkafka's own names. Any `sasl.` or "
               "`ssl.` property of the client may stand here. Other logs ignore the section",
    .options = kafka_options,
    .forms = kafka_forms,
};

void mr_kafka_schema(struct mr_buffer *out) {
    mr_buffer_text(out, "{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{");
    for (const struct mr_option *option = kafka_options; option->name; option++) {
        mr_buffer_format(out, "\"%s\":{\"type\":\"string\"},", option->name);
    }
    mr_buffer_text(out, "\"enable.ssl.certificate.verification\":{\"type\":[\"boolean\","
                        "\"string\"]},\"librdkafka\":");
    schema_properties(out);
    mr_buffer_text(out, "},\"patternProperties\":{\"^(sasl|ssl)[.]\":"
                        "{\"type\":[\"string\",\"number\",\"boolean\"]}}}");
}

static size_t count_properties(const struct mr_node *map) {
    const struct mr_node *others = mr_node_find(map, "librdkafka");
    return map->count + (others ? others->count : 0);
}

static void refuse_key(struct mr_loader *loader, const struct mr_node *key) {
    const char *near =
        mr_did_you_mean(loader, key->text, mr_section_names(loader, kafka_options, kafka_forms));
    if (near) {
        mr_node_fault(loader, key, near, "unknown key `%s`", key->text);
    } else {
        mr_node_fault(
            loader, key, NULL,
            "`%s` does not concern security: it belongs under `kafka: {librdkafka: {...}}`",
            key->text);
    }
}

void mr_kafka_load(struct mr_loader *loader, const struct mr_node *node) {
    if (!mr_expect(loader, node, MR_NODE_MAP, "properties, such as `security.protocol: ssl`")) {
        return;
    }
    loader->plan->properties = mr_arena_take(
        loader->source.memory, (count_properties(node) + 1) * sizeof *loader->plan->properties);
    for (const struct mr_node *value = node->first; value; value = value->next) {
        const char *name = value->key->text;
        if (is_security(name)) {
            add_property(loader, value);
        } else if (strcmp(name, "librdkafka") != 0 && !is_engines_own(loader, value->key)) {
            refuse_key(loader, value->key);
        }
    }
    mr_forms_load(loader, kafka_forms, node);
}
