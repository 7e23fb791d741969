#include "mesh-map/said.h"

void said_init(struct said *s)
{
	s->problems = jv_object();
}

void said_release(struct said *s)
{
	jv_free(s->problems);
	s->problems = jv_invalid();
}

bool said_problem(struct said *s, const char *subject, const char *problem)
{
	if (jvx_field_is(s->problems, subject, problem))
		return false;
	jvx_set_str(&s->problems, subject, problem);
	return true;
}

bool said_recovered(struct said *s, const char *subject)
{
	cleanup_jv jv before = jvx_get(s->problems, subject);

	if (!jv_is_valid(before))
		return false;
	s->problems = jv_object_delete(s->problems, jv_string(subject));
	return true;
}

int said_count(const struct said *s)
{
	return jvx_length(s->problems);
}
