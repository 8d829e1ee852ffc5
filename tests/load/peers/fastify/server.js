// Node's way: Fastify with compiled serializers, node-postgres with named statements and a pool of 8.
// node server.js --port N, with DATABASE_URL and SECRET_KEY in the environment. --shedding has it refuse under load.

import { parseArgs } from 'node:util'
import Fastify from 'fastify'
import underPressure from '@fastify/under-pressure'
import { createVerifier } from 'fast-jwt'
import pg from 'pg'
import * as schemas from './schemas.js'

const { values: { port, shedding } } = parseArgs({
  options: { port: { type: 'string' }, shedding: { type: 'boolean', default: false } }
})

// bigint and numeric as numbers; times as text, because a Date keeps only milliseconds.
pg.types.setTypeParser(pg.types.builtins.INT8, Number)
pg.types.setTypeParser(pg.types.builtins.NUMERIC, Number)
pg.types.setTypeParser(pg.types.builtins.TIMESTAMPTZ, (value) => value.replace(' ', 'T').replace(/\+00$/, 'Z'))

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 8, options: '-c timezone=UTC' })
const verify = createVerifier({
  key: process.env.SECRET_KEY,
  algorithms: ['HS256'],
  allowedIss: 'tradepost',
  allowedAud: 'tradepost-api',
  requiredClaims: ['iss', 'aud', 'sub', 'exp', 'iat', 'jti']
})

const ITEM = `i.*, ARRAY(SELECT tag FROM item_tags WHERE item_id = i.id ORDER BY position) AS tags,
  round(coalesce(i.discount_price, i.price) * (1 + coalesce(i.tax, 0) / 100), 2) AS total_price,
  u.first_name, u.last_name, u.avatar_url`
const READ = `SELECT ${ITEM} FROM items i JOIN users u ON u.id = i.owner_id WHERE i.id = $1 AND i.status = 'active'`
// The page first: PostgreSQL would look up the tags of every row that OFFSET skips.
const LIST = `SELECT ${ITEM} FROM (
    SELECT * FROM items WHERE status = 'active' ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2
  ) i JOIN users u ON u.id = i.owner_id ORDER BY i.created_at DESC, i.id DESC`
const COUNT = `SELECT count(*) AS total FROM items WHERE status = 'active'`
const PERSON = `SELECT u.* FROM sessions s JOIN users u ON u.id = s.user_id
  WHERE s.id = $1 AND s.user_id = $2 AND s.expires_at > now() AND u.is_active`
const ADD_ITEM = `INSERT INTO items
  (title, description, price, discount_price, tax, status, images, views, owner_id, version, created_at, updated_at)
  VALUES ($1, $2, $3, $4, $5, 'active', '[]', 0, $6, 1, now(), now()) RETURNING id`
const ADD_TAGS = `INSERT INTO tags (name, created_at, updated_at)
  SELECT name, now(), now() FROM unnest($1::text[]) AS wanted (name)
  WHERE NOT EXISTS (SELECT FROM tags WHERE tags.name = wanted.name) ON CONFLICT DO NOTHING`
const LINK_TAGS = `INSERT INTO item_tags (item_id, tag, position)
  SELECT $1, name, at - 1 FROM unnest($2::text[]) WITH ORDINALITY AS wanted (name, at)`

const run = (client, name, text, values) => client.query({ name, text, values })

function withOwner (row) {
  const owner = {
    id: row.owner_id,
    first_name: row.first_name,
    last_name: row.last_name,
    full_name: `${row.first_name} ${row.last_name}`,
    avatar_url: row.avatar_url
  }
  return { ...row, owner }
}

async function person (request) {
  let claims
  try {
    claims = verify((request.headers.authorization ?? '').replace('Bearer ', ''))
  } catch {
    throw Object.assign(new Error('refused'), { statusCode: 401 })
  }
  const { rows: [user] } = await run(pool, 'person', PERSON, [claims.sid, claims.sub])
  if (user === undefined || claims.typ !== 'access') throw Object.assign(new Error('refused'), { statusCode: 401 })
  return user
}

const app = Fastify()

if (shedding) {
  // Before the plugin: as Tradepost's, the probes are always answered.
  for (const probe of ['/livez', '/metrics']) app.get(probe, async () => 'ok')
  await app.register(underPressure, { maxEventLoopDelay: 100, retryAfter: 1 })
}

app.get('/api/v1/items/:id', { schema: { response: { 200: schemas.item } } }, async (request, reply) => {
  const { rows: [row] } = await run(pool, 'read', READ, [request.params.id])
  return row === undefined ? reply.code(404).send({ detail: 'Item not found' }) : withOwner(row)
})

app.get('/api/v1/items/', { schema: { response: { 200: schemas.page } } }, async (request) => {
  const limit = Number(request.query.limit ?? 100)
  const skip = Number(request.query.skip ?? 0)
  const { rows } = await run(pool, 'list', LIST, [limit, skip])
  const total = request.query.total === 'false' ? null : (await run(pool, 'count', COUNT)).rows[0].total
  const pages = total === null ? null : Math.ceil(total / limit)
  return { items: rows.map(withOwner), total, page: Math.floor(skip / limit) + 1, size: limit, pages }
})

app.get('/api/v1/users/me', { schema: { response: { 200: schemas.user } } }, async (request) => {
  const user = await person(request)
  const verified = user.email_verified_at !== null
  return { ...user, full_name: `${user.first_name} ${user.last_name}`, email_verified: verified }
})

app.post(
  '/api/v1/items/',
  { schema: { body: schemas.newItem, response: { 201: schemas.item } } },
  async (request, reply) => {
    const owner = await person(request)
    const { title, description, price, discount_price: discount, tax, tags } = request.body
    const client = await pool.connect()
    try {
      await client.query('BEGIN')
      const values = [title, description, price, discount, tax, owner.id]
      const { rows: [{ id }] } = await run(client, 'add', ADD_ITEM, values)
      await run(client, 'tags', ADD_TAGS, [tags])
      await run(client, 'link', LINK_TAGS, [id, tags])
      const { rows: [row] } = await run(client, 'read', READ, [id])
      await client.query('COMMIT')
      return reply.code(201).send(withOwner(row))
    } catch (error) {
      await client.query('ROLLBACK')
      throw error
    } finally {
      client.release()
    }
  }
)

await app.listen({ host: '127.0.0.1', port: Number(port) })
