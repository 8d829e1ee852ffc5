// What the answers look like: Fastify compiles a serializer from each of these.

const text = { type: 'string' }
const whole = { type: 'integer' }
const number = { type: 'number' }
const orNull = (schema) => ({ ...schema, nullable: true })
const object = (properties) => ({ type: 'object', properties })

const owner = object({
  id: whole,
  first_name: text,
  last_name: text,
  full_name: text,
  avatar_url: orNull(text)
})

export const item = object({
  id: whole,
  title: text,
  description: orNull(text),
  price: number,
  discount_price: orNull(number),
  tax: orNull(number),
  total_price: number,
  status: text,
  tags: { type: 'array', items: text },
  category_id: orNull(whole),
  images: { type: 'array', items: text },
  views: whole,
  owner_id: whole,
  owner,
  version: whole,
  created_at: text,
  updated_at: text
})

export const page = object({
  items: { type: 'array', items: item },
  total: orNull(whole),
  page: whole,
  size: whole,
  pages: orNull(whole)
})

export const user = object({
  ...owner.properties,
  email: text,
  is_active: { type: 'boolean' },
  email_verified: { type: 'boolean' },
  role: text,
  phone: orNull(text),
  website: orNull(text),
  created_at: text,
  updated_at: text
})

export const newItem = {
  ...object({
    title: { type: 'string', minLength: 1, maxLength: 200 },
    description: orNull({ type: 'string', maxLength: 1000 }),
    price: { type: 'number', exclusiveMinimum: 0 },
    discount_price: orNull({ type: 'number', exclusiveMinimum: 0 }),
    tax: orNull({ type: 'number', minimum: 0, maximum: 100 }),
    tags: { type: 'array', items: text, maxItems: 20, default: [] }
  }),
  required: ['title', 'price']
}
