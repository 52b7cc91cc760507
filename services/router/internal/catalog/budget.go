package catalog

import "time"

// maxTenants bounds the memory of the budget. Beyond it, tenants share one allowance.
const maxTenants = 10_000

// tenantBudget is a token bucket per tenant. It is guarded by the lock of the catalog.
type tenantBudget struct {
	perSecond float64
	buckets   map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// take uses one token, if there is one.
func (b *tenantBudget) take(tenant string, now time.Time) bool {
	burst := 10 * b.perSecond
	if b.buckets == nil {
		b.buckets = make(map[string]*bucket)
	}
	t := b.buckets[tenant]
	if t == nil {
		if len(b.buckets) >= maxTenants {
			b.forget(now)
		}
		if len(b.buckets) >= maxTenants {
			tenant = ""
			t = b.buckets[tenant]
		}
		if t == nil {
			t = &bucket{tokens: burst, at: now}
			b.buckets[tenant] = t
		}
	}
	t.tokens = min(burst, t.tokens+now.Sub(t.at).Seconds()*b.perSecond)
	t.at = now
	if t.tokens < 1 {
		return false
	}
	t.tokens--
	return true
}

// forget drops full buckets: a new one would be the same.
func (b *tenantBudget) forget(now time.Time) {
	for tenant, t := range b.buckets {
		if t.tokens+now.Sub(t.at).Seconds()*b.perSecond >= 10*b.perSecond {
			delete(b.buckets, tenant)
		}
	}
}
