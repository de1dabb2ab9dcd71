"""Decisions about duplicates, and the fingerprints that they are found by."""

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
        sa.ForeignKeyConstraint(["content_id"], ["content.id"], name=op.f("fk_fingerprint_content_id_content")),
        sa.PrimaryKeyConstraint("content_id", name=op.f("pk_fingerprint")),
    )
