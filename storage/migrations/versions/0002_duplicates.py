"""Decisions about duplicates, the fingerprints that they are found by, and what was found."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "decision",
        sa.Column("id", ID, nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("decided_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decision")),
    )
    op.create_table(
        "decision_content",
        sa.Column("decision_id", ID, nullable=False),
        sa.Column("content_id", ID, nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decision.id"], name=op.f("fk_decision_content_decision_id_decision")
        ),
        sa.ForeignKeyConstraint(["content_id"], ["content.id"], name=op.f("fk_decision_content_content_id_content")),
        sa.PrimaryKeyConstraint("decision_id", "content_id", name=op.f("pk_decision_content")),
    )
    op.create_index(op.f("ix_decision_content_content_id"), "decision_content", ["content_id"])
    op.create_table(
        "fingerprint",
        sa.Column("content_id", ID, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("contrast", sa.Double(), nullable=False),
        sa.Column("sharpness", sa.Double(), nullable=False),
        sa.Column("colour", sa.Double(), nullable=False),
        sa.Column("detail_px", sa.Integer(), nullable=True),
        sa.Column("compared", sa.Boolean(), nullable=False),
        sa.Column("compared_in", ID, nullable=True),
        sa.ForeignKeyConstraint(["content_id"], ["content.id"], name=op.f("fk_fingerprint_content_id_content")),
        sa.ForeignKeyConstraint(["compared_in"], ["space.id"], name=op.f("fk_fingerprint_compared_in_space")),
        sa.PrimaryKeyConstraint("content_id", name=op.f("pk_fingerprint")),
    )
    op.create_table(
        "relation",
        sa.Column("content_id", ID, nullable=False),
        sa.Column("other_id", ID, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("first_share", sa.Double(), nullable=False),
        sa.Column("second_share", sa.Double(), nullable=False),
        sa.Column("in_place", sa.Boolean(), nullable=False),
        sa.Column("turned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["content_id"], ["content.id"], name=op.f("fk_relation_content_id_content")),
        sa.ForeignKeyConstraint(["other_id"], ["content.id"], name=op.f("fk_relation_other_id_content")),
        sa.PrimaryKeyConstraint("content_id", "other_id", "kind", name=op.f("pk_relation")),
    )
    op.create_index(op.f("ix_relation_other_id"), "relation", ["other_id"])
