#include "k8s-apply/report.h"

#include <string.h>

#include "k8s-apply/target.h"
#include "lib/canon.h"
#include "lib/log.h"

#define MAX_LINE_BYTES (1u << 20)

bool report_format_from(const char *name, enum report_format *ret)
{
	static const char *const names[] = {
		[REPORT_TEXT] = "",
		[REPORT_WIDE] = "wide",
		[REPORT_NAME] = "name",
		[REPORT_JSON] = "json",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(name, names[i]) == 0) {
			*ret = (enum report_format)i;
			return true;
		}
	return false;
}

static void set_if(jv *record, const char *field, const char *text)
{
	if (text != NULL && *text != '\0')
		jvx_set_str(record, field, text);
}

static char *json_line(const struct plan_result *r, const char *dry_run, int64_t now_wall_ms)
{
	cleanup_jv jv record = jv_object();
	cleanup_buf struct buf text;
	struct err err = ERR_INIT;

	jvx_set_str(&record, "type", "result");
	set_if(&record, "source", r->source);
	jvx_set_str(&record, "key", r->key);
	jvx_set_str(&record, "action", plan_action_name(r->action));
	set_if(&record, "apiVersion", r->api_version);
	jvx_set_str(&record, "kind", r->id->kind);
	set_if(&record, "namespace", r->id->namespace);
	jvx_set_str(&record, "name", r->id->name);
	if (r->adopted)
		jvx_set(&record, "adopted", jv_true());
	set_if(&record, "error", r->error);
	if (r->at_ms > 0) {
		jvx_set(&record, "at", jv_number((double)r->at_ms));
		jvx_set(&record, "delay_ms", jv_number((double)(now_wall_ms - r->at_ms)));
	}
	if (dry_run != NULL)
		jvx_set(&record, "dryRun", jv_true());
	buf_init(&text, MAX_LINE_BYTES);
	/* The same JSON as that of jvx_dump, in a fifth of the time: there is one for each object of a first sync. */
	return canon_write(record, &text, &err) == 0 ? TAKE(text.data) : jvx_dump(record);
}

/* One line stays one line, whatever a key or a file name holds. */
static void blank_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

static char *text_line(const struct plan_result *r, bool wide, const char *dry_run)
{
	cleanup_free char *object = object_id_display(r->id);
	cleanup_free char *key = wide ? xasprintf(" (%s/%s)", r->source, r->key) : xstrdup("");
	char *line = xasprintf("%s %s%s%s%s%s%s%s%s", object, plan_action_name(r->action),
		dry_run != NULL ? " (" : "", dry_run != NULL ? dry_run : "",
		dry_run != NULL ? ")" : "", wide && r->adopted ? " (adopted)" : "", key,
		r->error != NULL ? ": " : "", r->error != NULL ? r->error : "");

	blank_controls(line);
	return line;
}

static bool is_in_place(enum plan_action action)
{
	return action == PLAN_CREATED || action == PLAN_CONFIGURED || action == PLAN_DELETED ||
	       action == PLAN_UNCHANGED;
}

char *report_line(enum report_format format, const struct plan_result *r, const char *dry_run,
	int64_t now_wall_ms)
{
	if (r->action == PLAN_UNCHANGED && format != REPORT_WIDE && *r->source != '\0')
		return NULL;
	switch (format) {
	case REPORT_JSON:
		return json_line(r, dry_run, now_wall_ms);
	case REPORT_NAME:
		return is_in_place(r->action) ? object_id_display(r->id) : NULL;
	case REPORT_TEXT:
	case REPORT_WIDE:
		break;
	}
	return text_line(r, format == REPORT_WIDE, dry_run);
}

void report_log_problem(const struct plan_result *r, char **last)
{
	cleanup_free char *object = object_id_display(r->id);
	cleanup_free char *what = NULL;

	if (r->action != PLAN_CONFLICT && r->action != PLAN_FAILED)
		return;
	if (r->error != NULL && strcmp(r->error, TARGET_SAID) == 0)
		return;
	what = xasprintf("%s\n%s\n%s", r->source, r->key, r->error != NULL ? r->error : "");
	if (*last != NULL && strcmp(*last, what) == 0)
		return;
	free(*last);
	*last = TAKE(what);
	log_warn(plan_action_name(r->action), "object", object, "source",
		*r->source != '\0' ? r->source : NULL, "key", r->key, "error", r->error);
}

/* Plain manifests have no source. */
static const char *source_of(const struct plan_notice *n)
{
	return n->source != NULL && *n->source != '\0' ? n->source : NULL;
}

static void log_hold(const struct plan_notice *n, const char *how)
{
	log_warn("deletions held", "source", source_of(n), "keys", log_num((long long)n->keys),
		"objects", log_num((long long)n->objects), "why", n->why, "to_release", how);
}

void report_log_notice(const struct plan_notice *n, const char *how)
{
	switch (n->kind) {
	case PLAN_SYNCED:
		break;
	case PLAN_NOT_PRUNED:
		log_warn("nothing pruned", "source", source_of(n), "why", n->why);
		break;
	case PLAN_HOLD:
		log_hold(n, how);
		break;
	case PLAN_HOLD_LOWER:
		log_warn("approved for fewer keys than are held: nothing released");
		log_hold(n, how);
		break;
	case PLAN_HOLD_ENDED:
		log_info("no deletions are held any more");
		break;
	case PLAN_BROKEN_KEY:
		log_warn("failed: nothing of this key is deleted", "source", source_of(n), "key",
			n->key, "error", n->why);
		break;
	case PLAN_SOURCE_PRUNED:
		log_info("source pruned", "source", source_of(n), "keys",
			log_num((long long)n->keys));
		break;
	}
}
