#include "k8s-apply/progress.h"

#include <string.h>

#include "lib/log.h"

/* Work that is shorter is over before anybody would have read it. */
#define FIRST_MS 2000
#define EACH_MS	 250

struct progress {
	uv_timer_t timer;
	int fd;
	size_t done, waiting;
	int64_t since_ms; /* steady; of the first object of this piece of work; 0: there is none */
	bool shown;
};

char *progress_number(size_t n)
{
	cleanup_free char *digits = xasprintf("%zu", n);
	size_t len = strlen(digits), commas = (len - 1) / 3, at = 0;
	char *text = xcalloc(len + commas + 1, 1);

	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	return text;
}

char *progress_text(size_t done, size_t waiting, int64_t elapsed_ms)
{
	cleanup_free char *so_far = progress_number(done);
	cleanup_free char *all = progress_number(done + waiting);
	double per_ms = elapsed_ms > 0 ? (double)done / (double)elapsed_ms : 0;
	cleanup_free char *rate = progress_number((size_t)(per_ms * 1000));
	char *left = per_ms > 0 ? xasprintf(", %.0f s left", (double)waiting / per_ms / 1000)
				: xstrdup("");
	char *text = xasprintf("%s of %s objects, %s/s%s", so_far, all, rate, left);

	free(left);
	return text;
}

/* There is nowhere to report it to when a terminal takes nothing. */
static void put(struct progress *p, const char *text)
{
	if (write(p->fd, text, strlen(text)) < 0)
		return;
}

void progress_clear(struct progress *p)
{
	if (p == NULL || !p->shown)
		return;
	p->shown = false;
	put(p, "\r\033[K");
}

static void clear(void *arg)
{
	progress_clear(arg);
}

static void on_timer(uv_timer_t *timer)
{
	struct progress *p = timer->data;
	cleanup_free char *text = progress_text(p->done, p->waiting, steady_ms() - p->since_ms);
	cleanup_free char *line = xasprintf("\r%s\033[K", text);

	p->shown = true;
	put(p, line);
}

struct progress *progress_open(uv_loop_t *loop, int fd)
{
	struct progress *p = xcalloc(1, sizeof(*p));

	p->fd = fd;
	uv_timer_init(loop, &p->timer);
	p->timer.data = p;
	log_set_before(clear, p);
	return p;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void progress_close(struct progress *p)
{
	if (p == NULL)
		return;
	progress_clear(p);
	log_set_before(NULL, NULL);
	uv_close((uv_handle_t *)&p->timer, on_closed);
}

void progress_step(struct progress *p)
{
	if (p != NULL)
		p->done++;
}

void progress_set_waiting(struct progress *p, size_t waiting)
{
	if (p == NULL)
		return;
	p->waiting = waiting;
	if (waiting > 0 && p->since_ms == 0) {
		p->since_ms = steady_ms();
		p->done = 0;
		uv_timer_start(&p->timer, on_timer, FIRST_MS, EACH_MS);
	} else if (waiting == 0 && p->since_ms != 0) {
		p->since_ms = 0;
		uv_timer_stop(&p->timer);
		progress_clear(p);
	}
}
